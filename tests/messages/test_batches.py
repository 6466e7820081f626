"""A batch in the shape connectors take: refusals, headers, dates, what people lack, and SMS segments."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from carillon.definition.model import MessageSource, SourceText
from carillon.kernel.channels import Channel
from carillon.kernel.tokens import Token, TokenKind
from carillon.messages.columns import Columns, lacking
from carillon.messages.compiling import compile_content
from carillon.messages.content import content_from_json
from carillon.messages.rendering import Occasion, fill, render
from carillon.messages.sms import Segments, segments
from tests.messages.shop import FOOTER, PLAIN, RING, SETTING, batch, compiled, inner, people, source


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads that are changed after every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
def test_two_who_render_one_content_at_once_do_not_mix_their_instants():
    """Campaigns are advanced side by side, and two of them may say the same: each batch reads its own `now`."""
    content = compiled(source("<html><body>{{ 'now' | date: '%d' }}/{{ contact.name }}</body></html>"))
    rows = [{"contact.name": f"Ada{n}"} for n in range(20)]

    def days(day: int) -> set[str]:
        now, found = datetime(2026, 12, day, 12, 0, tzinfo=UTC), set[str]()
        for _ in range(100):
            out = render(content, people(*rows, content=content), Occasion(RING, 7, range(1, 21), now))
            found |= {inner(fill(out.html, out.values, row)).partition("/")[0] for row in range(len(rows))}
        return found

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(days, (11, 12))) == [{"11"}, {"12"}]


def test_who_lacks_a_value_and_whom_the_template_skips_get_nothing():
    """The others of the batch are not touched; the reason is the first that holds."""
    design = (
        "<html><body>{% if contact.stock == 0 %}{% skip 'out of stock' %}{% endif %}{{ contact.name }}</body></html>"
    )
    content = compiled(source(design))
    rows = [
        {"contact.name": "Ada", "contact.stock": 2},
        {"contact.stock": 2},
        {"contact.stock": 0},
        {"contact.name": "Bo"},
    ]
    out, messages = batch(content, *rows)
    assert (out.skipped, out.failed) == ({2: "out of stock"}, {1: "contact.name is missing"})
    assert [inner(messages[row].html) for row in (0, 3)] == ["Ada", "Bo"]
    assert all(column[1] == column[2] == "" for tag, column in out.values.items() if tag not in _token_tags(content))
    assert content.can_skip


def _token_tags(content):
    return {f"-{content.salt}{letter}-" for letter in "cousp"}


def test_each_person_has_an_own_id_and_an_own_way_out():
    """cid, List-Unsubscribe and pixel are tokens of the person's enrolment and of their own kind."""
    content = compiled(source(f"<html><body>{FOOTER}</body></html>"), SETTING)
    out, messages = batch(content, {}, {})
    assert [RING.read(cid) for cid in out.cids] == [Token(TokenKind.MESSAGE, 7, 1), Token(TokenKind.MESSAGE, 7, 2)]
    ways_out = [
        address.removeprefix("<https://t.shop/u/").removesuffix(">") for address in out.headers["List-Unsubscribe"]
    ]
    assert [RING.read(token) for token in ways_out] == [
        Token(TokenKind.UNSUBSCRIBE, 7, 1),
        Token(TokenKind.UNSUBSCRIBE, 7, 2),
    ]
    pixels = [message.html.partition("https://t.shop/o/")[2][:28] for message in messages]
    assert [RING.read(token) for token in pixels] == [Token(TokenKind.OPEN, 7, 1), Token(TokenKind.OPEN, 7, 2)]
    assert set(out.values) == {f"-{content.salt}u-", f"-{content.salt}o-"}
    assert batch(compiled(source("<html><body>x</body></html>")), {})[0].headers == {}


def test_now_is_the_batch_and_not_the_machine():
    """Dates read in the zone of the batch and the language of the message, also in the second batch."""
    setting = replace(PLAIN, default_language="de")
    design = "<html><body>{{ 'now' | date: '%A, %d. %B %H:%M' }} {{ contact.born | date: '%d.%m.' }}</body></html>"
    message = MessageSource(
        "sale", source("x").words | {"de": source("x").words["en"]}, html={"de": SourceText("s.html", design)}
    )
    content = compile_content(message, Channel.EMAIL, "de", "", setting).content
    assert content is not None
    found = []
    for day in (1, 2):
        now = datetime(2026, 12, day, 23, 30, tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))
        out = render(content, people({"contact.born": "1990-02-28"}, content=content), Occasion(RING, 7, [1], now))
        found.append(fill(out.text, out.values, 0))
    assert found == ["Mittwoch, 02. Dezember 00:30 28.02.\n", "Donnerstag, 03. Dezember 00:30 28.02.\n"]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(3, "€3.00"), ("19.9", "€19.90"), (1234.5, "€1,234.50"), ("x", None), (True, None), (None, None)],
)
def test_money_is_an_amount_or_an_error(amount, shown):
    """A price of nothing must never read 0.00."""
    content = compiled(source("<html><body>{{ contact.total | money }}</body></html>"))
    out, [message] = batch(content, {"contact.total": amount})
    assert (inner(message.html) if not out.failed else None) == shown


@pytest.mark.parametrize(
    ("told", "shown"), [("USD", "$20.00"), ("gbp", "£20.00"), ("dollars", None), ("", None), (None, None)]
)
def test_money_of_another_currency_is_shown_in_it_and_not_converted(told, shown):
    """Who shops in dollars must not read their 20 dollars as 20 euros."""
    content = compiled(source("<html><body>{{ trigger.total | money: trigger.currency }}</body></html>"))
    assert set(content.required_paths) == {"trigger.total", "trigger.currency"}
    out, [message] = batch(content, {"trigger.total": 20, "trigger.currency": told})
    assert (inner(message.html) if not out.failed else None) == shown


def test_a_template_that_loops_without_end_fails_for_the_person_only():
    """Limits are on: a hostile list cannot keep a worker busy."""
    content = compiled(
        source("<html><body>{% for a in contact.l %}{% for b in contact.l %}x{% endfor %}{% endfor %}</body></html>")
    )
    out, _ = batch(content, {"contact.l": list(range(200))}, {"contact.l": [1]})
    assert out.failed == {0: "loop iteration limit reached"}


def test_how_many_people_lack_what_a_message_names():
    """Fields with a default are not asked for; lists are looked into."""
    design = "{{ contact.name }}{{ contact.city | default: '-' }}{% for p in trigger.products %}{{ p.name }}{% endfor %}{{ trigger.shop.name }}"
    content = compiled(source(f"<html><body>{design}</body></html>"))
    rows = [
        {"contact.name": "Ada", "trigger.products": [{"name": "x"}, {}], "trigger.shop": {"name": "s"}},
        {"contact.name": None, "trigger.products": [], "trigger.shop": {}},
        {"contact.name": None, "trigger.products": None, "trigger.shop": None},
    ]
    expected = {"contact.name": 2, "trigger.products": 1, "trigger.products[].name": 2, "trigger.shop.name": 2}
    assert lacking(content, people(*rows, content=content)) == expected
    assert lacking(content, Columns(0, {path: [] for path in content.paths})) == {}


def test_a_value_that_looks_like_a_tag_is_not_filled_again():
    """`fill` goes over the shared text once."""
    assert fill("a-1-b-2-", {"-1-": ["-2-"], "-2-": ["x"]}, 0) == "a-2-bx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments("GSM-7", 0, 1)),
        ("a" * 160, Segments("GSM-7", 160, 1)),
        ("a" * 161, Segments("GSM-7", 161, 2)),
        ("a" * 306, Segments("GSM-7", 306, 2)),
        ("a" * 307, Segments("GSM-7", 307, 3)),
        ("€" * 80, Segments("GSM-7", 160, 1)),
        ("a" * 152 + "€" + "a" * 152, Segments("GSM-7", 306, 3)),
        ("äöüÄÖÜß" + "a" * 153, Segments("GSM-7", 160, 1)),
        ("ê" * 70, Segments("UCS-2", 70, 1)),
        ("ê" * 71, Segments("UCS-2", 71, 2)),
        ("😀" * 35, Segments("UCS-2", 70, 1)),
        ("😀" * 67, Segments("UCS-2", 134, 3)),
        ("`", Segments("UCS-2", 1, 1)),
    ],
)
def test_segments_are_counted_as_they_are_billed(text, expected):
    """An extension character counts twice; neither it nor a surrogate pair is cut in two."""
    assert segments(text) == expected


def test_values_of_the_workspace_are_dates_and_amounts_again():
    """values.yaml may hold a date: it is stored as text, and read by the filters."""
    setting = replace(PLAIN, values={"ends": date(2026, 12, 24), "off": Decimal("19.90")})
    content = compiled(
        source("<html><body>{{ values.ends | date: '%d %B' }} {{ values.off | money }}</body></html>"), setting
    )
    assert inner(batch(content_from_json(content.to_json()), {})[1][0].html) == "24 December €19.90"

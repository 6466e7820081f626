"""Rendering by columns says the same as rendering one person after the other."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.kernel.spelling import json_spelt
from carillon.messages.columns import Columns, JsonColumn
from carillon.messages.content import Link
from carillon.messages.rendering import Message, Occasion, fill, render, render_one
from carillon.messages.strung import Refusal
from tests.messages.shop import RING, batch, compiled, source

FIELDS = ("a", "b", "c")
PLAIN_SCALARS = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "",
            "Ada",
            '<script>alert("x")</script>',
            "O'Neill",
            "{{ contact.b }}",
            "{% skip 'x' %}",
            "👩‍👩‍👧",
            "مرحبا",
            "a\r\nb",
        ]
    ),
    st.sampled_from([0, 1, 1.0, True, False, -0.0, 0.0, 3]),
)
"""What JSON has a spelling for."""
SCALARS = st.one_of(
    PLAIN_SCALARS,
    st.sampled_from([Decimal("1.0"), Decimal("1.00")]),
    st.sampled_from([date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)]),
)
ITEM = st.one_of(SCALARS, st.dictionaries(st.sampled_from(["n", "p"]), SCALARS))
VALUES = st.one_of(
    SCALARS, st.lists(ITEM, max_size=4), st.fixed_dictionaries({"n": SCALARS, "l": st.lists(ITEM, max_size=3)})
)
PATHS = st.sampled_from(["contact.a", "contact.b", "contact.c", "contact.c.n", "contact.a[0].n", "x", "contact.b.size"])
FILTERS = st.sampled_from(
    ["", " | default: 'you'", " | upcase", " | append: contact.a", " | size", " | json", " | safe"]
)
LISTS = st.sampled_from(
    ["contact.a", "contact.b", "contact.c.l", "(1..3)", "contact.a limit:1", "contact.b reversed", "x"]
)
CONDITIONS = st.sampled_from(
    ["contact.a", "contact.a == 'Ada'", "contact.b > 1", "contact.c contains 'A'", "x", "contact.a == nil", "p"]
)


@st.composite
def _outputs(draw):
    return "{{ " + draw(PATHS) + draw(FILTERS) + " }}"


LEAVES = st.one_of(
    _outputs(),
    st.sampled_from([
        "text ", "<b>&amp;</b>", "{{ p }}", "{{ p.n }}", "{{ p.n | default: '-' }}", "{{ forloop.index }}", " \n ",
        "{% assign x = contact.a %}", "{% assign x = x | append: 'y' %}", "{% capture x %}{{ contact.b }}!{% endcapture %}",
        "{% increment k %}", "{% cycle 'a', 'b' %}", "{{- contact.a -}}", "{% skip 'gone' %}", "{% break %}", "{{ links.unsubscribe }}",
        '<a href="https://s.x/{{ contact.a }}">l</a>', '<a href="https://s.x/">l</a>',
        '<a href="{% carried 1 %}https://s.x/{{ p.n }}{% endcarried %}">l</a>',
    ]),
)  # fmt: skip
NODES = st.recursive(
    st.lists(LEAVES, max_size=4).map("".join),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(CONDITIONS, inner, inner).map(
            lambda t: "{% if " + t[0] + " %}" + t[1] + "{% else %}" + t[2] + "{% endif %}"
        ),
        st.tuples(CONDITIONS, inner).map(lambda t: "{% unless " + t[0] + " %}" + t[1] + "{% endunless %}"),
        st.tuples(CONDITIONS, inner, CONDITIONS, inner).map(
            lambda t: "{% if " + t[0] + " %}" + t[1] + "{% elsif " + t[2] + " %}" + t[3] + "{% endif %}"
        ),
        st.tuples(LISTS, inner, inner).map(
            lambda t: "{% for p in " + t[0] + " %}" + t[1] + "{% else %}" + t[2] + "{% endfor %}"
        ),
        st.tuples(LISTS, inner).map(lambda t: "{% for p in " + t[0] + " %}" + t[1] + "{% endfor %}"),
    ),
    max_leaves=6,
)


@given(NODES, NODES, st.lists(st.fixed_dictionaries({f"contact.{f}": VALUES for f in FIELDS}), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_a_batch_reads_as_if_each_had_been_rendered_alone(html, subject, rows):
    """Any template, any people, twice (remembered texts must not tell on the second batch)."""
    content = _loose(html, subject)
    for group in (rows, rows[::-1]):
        people = Columns(len(group), {path: [row.get(path) for row in group] for path in content.paths})
        out = render(content, people, Occasion(RING, 7, range(len(group))))
        for row, values in enumerate(group):
            alone = render_one(content, values, Occasion(RING, 7, [row]))
            refusal = out.skipped.get(row) or out.failed.get(row)
            if isinstance(alone, Refusal):
                assert (refusal, row in out.skipped) == (alone.reason, alone.is_skip)
            else:
                assert refusal is None
                assert Message(*(fill(part, out.values, row) for part in (out.subject, out.html, out.text))) == alone


PLAIN_ITEM = st.one_of(PLAIN_SCALARS, st.dictionaries(st.sampled_from(["n", "p"]), PLAIN_SCALARS))
PLAIN_VALUES = st.one_of(
    PLAIN_SCALARS, st.lists(PLAIN_ITEM, max_size=4),
    st.lists(st.fixed_dictionaries({"n": st.one_of(PLAIN_SCALARS, st.sampled_from(["},{", "}, {", "}]"]))}), max_size=4),
    st.fixed_dictionaries({"n": PLAIN_SCALARS, "l": st.lists(PLAIN_ITEM, max_size=3)}),
)  # fmt: skip
SPELLINGS = st.sampled_from([
    lambda value: orjson.dumps(value).decode(), json.dumps, lambda value: json.dumps(value, ensure_ascii=False, indent=1),
])  # fmt: skip


@given(
    NODES,
    st.lists(st.fixed_dictionaries({f"contact.{f}": PLAIN_VALUES for f in FIELDS}), min_size=1, max_size=6),
    st.lists(SPELLINGS, min_size=6, max_size=6),
)
@settings(max_examples=50, deadline=None)
def test_values_as_json_read_as_the_values_themselves(html, rows, spellings):
    """However a store spells a value, and whatever stands in its texts: a column of JSON gives what its values give.

    And spelt for JSON each text is what it would be if it were spelt when it is whole."""
    content = _loose(html, "Hello")
    for group in (rows, rows[::-1]):
        plain = {path: [row.get(path) for row in group] for path in content.paths}
        spelt = {
            path: JsonColumn([spell(value) for spell, value in zip(spellings, column, strict=False)])
            for path, column in plain.items()
        }
        occasion = Occasion(RING, 7, range(len(group)))
        told = render(content, Columns(len(group), plain), occasion)
        assert render(content, Columns(len(group), spelt), occasion) == told
        values = {tag: list(map(json_spelt, column)) for tag, column in told.values.items()}
        assert render(content, Columns(len(group), spelt), occasion, "json") == replace(told, values=values)


def _loose(html: str, subject: str):
    """A content as it is stored, without the checks of compiling: unknown names are part of the game."""
    base = compiled(source("<html><body>x {{ contact.a }}{{ contact.b }}{{ contact.c }}</body></html>"))
    tag = f"-{base.salt}c-"
    linked = html.replace('"https://s.x/"', f'"https://t.shop/c/{tag}/0"')
    linked = linked.replace(
        '"https://s.x/{{ contact.a }}"', '"{% carried 1 %}https://s.x/{{ contact.a }}{% endcarried %}"'
    )
    plain = subject.replace("<a href=", "").replace(">l</a>", "")
    links = (Link("https://s.x/"), Link("https://s.x/{{ contact.a }}", carried=True))
    return replace(base, html=linked, subject=plain, text=plain, links=links)


def test_values_that_are_equal_in_python_stay_apart():
    """1, 1.0 and true are three texts, in one batch and from batch to batch."""
    content = compiled(
        source("<html><body>{{ contact.a }};{% for p in contact.l %}{{ p.n }}{% endfor %}</body></html>")
    )
    rows = [{"contact.a": v, "contact.l": [{"n": v}]} for v in (1, 1.0, True, "1")]
    together = [m.html.partition("<body>")[2].partition("<img")[0] for m in batch(content, *rows)[1]]
    apart = [batch(content, row)[1][0].html.partition("<body>")[2].partition("<img")[0] for row in rows]
    assert together == apart == ["1;1", "1.0;1.0", "true;true", "1;1"]


def test_assign_and_capture_cost_no_rendering_of_the_whole():
    """What is assigned is made again where it is read: the shared part stays shared."""
    content = compiled(
        source("<html><body>{% assign n = contact.a | upcase %}long text {{ n }} and {{ n }}</body></html>")
    )
    out, messages = batch(content, {"contact.a": "ada"}, {"contact.a": "bo"})
    assert "long text" in out.html
    assert [column for column in out.values.values() if column[0] == "ADA"] == [["ADA", "BO"]]  # HTML and plain part
    assert "long text BO and BO" in messages[1].html
    assert content.per_person_because == ""


def test_a_state_that_crosses_parts_is_rendered_whole_and_says_so():
    """`cycle` in two places remembers: plan must be able to say why it is slow, and where."""
    content = compiled(
        source("<html><body>\n<i>{% cycle 'a', 'b' %}</i>\n<i>{% cycle 'a', 'b' %}</i>{{ contact.a }}</body></html>")
    )
    assert content.per_person_because == "line 2: cycle"
    assert batch(content, {"contact.a": "x"})[1][0].html.count("<i>b</i>x") == 1


def test_columns_of_unequal_length_and_missing_columns_are_refused():
    """A wrong caller is told, not answered with somebody else's name."""
    content = compiled(source("<html><body>{{ contact.a }}</body></html>"))
    with pytest.raises(ValueError, match="another length"):
        Columns(2, {"contact.a": ["x"]})
    with pytest.raises(KeyError, match=r"contact\.a"):
        render(content, Columns(1, {}), Occasion(RING, 7, [1]))
    with pytest.raises(ValueError, match="1 people, but 2 enrolments"):
        render(content, Columns(1, {"contact.a": ["x"]}), Occasion(RING, 7, [1, 2]))

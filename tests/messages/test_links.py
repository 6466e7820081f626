"""Links: what a click may follow, and what is added to a target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carillon.kernel.tokens import Keyring, Token, TokenKind
from carillon.messages.content import Link
from carillon.messages.links import resolve, with_utm
from tests.messages.shop import PLAIN, RING, batch, compiled, source

UTM = {"utm_source": "carillon", "utm_campaign": "spring sale"}
ADDED = "utm_source=carillon&utm_campaign=spring%20sale"


@pytest.mark.parametrize(
    ("url", "tagged"),
    [
        ("https://shop.x", f"https://shop.x?{ADDED}"),
        ("https://shop.x/a?b=1#top", f"https://shop.x/a?b=1&{ADDED}#top"),
        ("https://shop.x/?utm_source=own", "https://shop.x/?utm_source=own&utm_campaign=spring%20sale"),
        ("https://shop.x/?q=a+b%20c&e=", f"https://shop.x/?q=a+b%20c&e=&{ADDED}"),
    ],
)
def test_utm_parameters_are_added_and_never_overwritten(url, tagged):
    """What the marketer wrote stays as it was written, its fragment last."""
    assert with_utm(url, UTM) == tagged


def _click(html: str, values: dict, utm: dict | None = None) -> tuple[str, str | None]:
    """The link in a mail, and where a click on it leads."""
    content = compiled(source(f"<html><body>{html}</body></html>"), replace(PLAIN, utm=utm or {}))
    out, [message] = batch(content, values)
    assert out.failed == {}
    link = message.html.partition('href="')[2].partition('"')[0]
    path, _, to = link.partition("?to=")
    token, n = path.removeprefix("https://t.shop/c/").split("/")
    assert RING.read(token) == Token(TokenKind.CLICK, 7, 1)
    return link, resolve(content.links_json(), int(n), to or None, RING)


def test_a_click_leads_where_the_marketer_wrote():
    """The target is not in the link."""
    link, target = _click('<a href="https://shop.x/a?b=1&amp;c=ü">x</a>', {}, UTM)
    assert target == f"https://shop.x/a?b=1&c=ü&{ADDED}"
    assert link.endswith("/0")


def test_a_personal_link_carries_its_own_target():
    """Whatever a value holds, the address stays one address: quotes, blanks and & are encoded or kept."""
    design = '<a href="https://shop.x/p/{{ contact.id | url_encode }}?a=1&amp;n={{ contact.name }}">x</a>'
    _, target = _click(design, {"contact.id": "7&/", "contact.name": 'O\'N "A" <b> é&x=1'}, UTM)
    assert target == f"https://shop.x/p/7%26%2F?a=1&n=O'N%20%22A%22%20%3Cb%3E%20%C3%A9&x=1&{ADDED}"


def test_each_round_of_a_loop_has_its_own_target_in_one_slot():
    """A link inside `for` counts as one link with many targets."""
    design = '{% for p in trigger.products %}<a href="{{ p.url }}">x</a>{% endfor %}'
    content = compiled(source(f"<html><body>{design}</body></html>"))
    _, [message] = batch(content, {"trigger.products": [{"url": "https://a.x/1"}, {"url": "https://a.x/2"}]})
    found = [part.partition('"')[0].partition("/0?to=")[2] for part in message.html.split('href="')[1:]]
    assert [resolve(content.links, 0, to, RING) for to in found] == ["https://a.x/1", "https://a.x/2"]
    assert content.links == (Link("{{ p.url }}", carried=True),)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "/sale", "data:text/html,x", "", "https://"])
def test_a_personal_link_that_is_no_web_address_is_not_sent(url):
    """The person gets nothing and the report says why: better than a link that leads nowhere or worse."""
    content = compiled(source('<html><body><a href="{{ trigger.url }}">x</a></body></html>'))
    out, _ = batch(content, {"trigger.url": url}, {"trigger.url": "https://a.x"})
    assert out.failed == {0: f"a link leads to {url}, which is no web address"}


def test_only_links_that_we_wrote_are_followed():
    """Another slot, another target, another key, no seal, garbage: nowhere."""
    links = (Link("https://shop.x/a"), Link("{{ p.url }}", carried=True))
    seal = RING.seal_url("https://shop.x/b")
    good = f"aHR0cHM6Ly9zaG9wLngvYg.{seal}"
    assert resolve(links, 1, good, RING) == "https://shop.x/b"
    assert resolve(links, 0, good, RING) == "https://shop.x/a"
    evil = "aHR0cHM6Ly9ldmlsLng"
    for n, to in (
        (2, None),
        (-1, None),
        (1, None),
        (1, f"{evil}.{seal}"),
        (1, good[:-1]),
        (1, "é.x"),
        (1, "%%%"),
        (1, "A.B"),
    ):
        assert resolve(links, n, to, RING) is None
    assert resolve(links, 1, good, Keyring((b"z" * 32,))) is None
    assert resolve(links, 1, good, Keyring((b"z" * 32, b"k" * 32))) == "https://shop.x/b"
    sealed_script = f"amF2YXNjcmlwdDphbGVydCgxKQ.{RING.seal_url('javascript:alert(1)')}"
    assert resolve(links, 1, sealed_script, RING) is None


def test_slots_of_mails_that_have_left_keep_their_targets():
    """A link put in front of the others must not change where yesterday's mail leads."""
    old = compiled(source('<html><body><a href="https://shop.x/a">a</a></body></html>'))
    design = '<html><body><a href="https://shop.x/new">n</a><a href="https://shop.x/a">a</a></body></html>'
    new = compiled(source(design), replace(PLAIN, links_before=old.links))
    assert new.links == (Link("https://shop.x/a"), Link("https://shop.x/new"))
    assert [part[28:30] for part in new.html.replace(f"-{new.salt}c-", "t" * 28).split("/c/")[1:]] == ["/1", "/0"]

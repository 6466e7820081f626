"""A wave that nobody planned: an import that moves half a shop into a segment, or onto one day, writes to nobody unasked."""

from __future__ import annotations

import pytest

from carillon.advance import brakes
from carillon.advance.approve import approve
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.store import tables as t
from tests.shop import Shop

JOINS = "entry: {joins: golden}\njourney: [{email: hello}]\n"
GOLD = "{contact: {tier: gold}}"
BIRTHDAY = "audience: everyone\nentry: {date: birthday, every: year, at: 09:00}\njourney: [{email: cake}]\n"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three people stand for five hundred."""
    monkeypatch.setattr(brakes, "UNASKED", 3)


def club(shop: Shop) -> list[str]:
    """Thirty people of whom nobody is gold; the campaign has looked once."""
    names = shop.people(30)
    shop.segment("golden", GOLD)
    shop.campaign("club", JOINS)
    shop.apply()
    shop.run("club")
    return names


def gild(shop: Shop, names: list[str], minutes: int = 15) -> str | None:
    """Make them gold, as an import does, and let the campaign look; why it is held."""
    for name in names:
        shop.change(name, tier="gold")
    return shop.run("club", shop.clock.now() + minutes * 60_000_000).hold_reason


def test_a_huge_wave_of_joins_asks_and_mails_nobody_until_the_yes(any_shop: Shop) -> None:
    """Six are a good day; twenty are a question, once: the yes to them is of this wave and of all not twice as large."""
    names = club(any_shop)
    assert (gild(any_shop, names[:6]), len(any_shop.inbox)) == (None, 6)
    assert gild(any_shop, names[6:26]) == "20 people entered at once, the most before was 6"
    assert (len(any_shop.inbox), any_shop.count(t.send)) == (6, 6)
    assert gild(any_shop, []) == "20 people entered at once, the most before was 6"
    done = approve(any_shop.store, "club", who="ann", at=any_shop.clock.now())
    assert [wave.startswith("joins:golden:") for wave in done.waves] == [True]
    assert (gild(any_shop, []), len(any_shop.inbox)) == (None, 26)
    assert any_shop.violations() == []


def test_waves_that_grow_as_a_shop_grows_ask_nobody(shop: Shop) -> None:
    names = club(shop)
    assert [gild(shop, names[:6]), gild(shop, names[6:18]), gild(shop, names[18:])] == [None] * 3
    assert len(shop.inbox) == 30


def test_another_definition_of_the_segment_takes_nobody_in(shop: Shop) -> None:
    """An edit of the segment moves nobody: who fits it from then on did not join."""
    club(shop)
    shop.segment("golden", "{reachable: email}")
    shop.apply()
    assert (gild(shop, []), shop.inbox, shop.waves()) == (None, [], [])


def test_one_birthday_for_everybody_is_a_question(shop: Shop) -> None:
    """A form's default, imported: on its day more would have cake than ever before."""
    shop.write("data.yaml", "contact: {birthday: date}\n")
    names = shop.people(9)
    shop.campaign("cake", BIRTHDAY)
    shop.apply()
    for name in names:
        shop.change(name, birthday="1990-11-10")
    held = shop.run("cake", "2026-11-10 10:00").hold_reason
    assert (held, shop.inbox) == ("9 people entered at once, the most before was 0", [])


def test_nobody_else_decides_a_wave_that_asks(shop: Shop) -> None:
    """Another campaign's run decides for the whole workspace; between the wave and the hold it must not decide this one."""
    names = club(shop)
    shop.campaign(
        "other", "audience: {contact: {tier: basic}}\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}]\n"
    )
    shop.apply("other")
    for name in names[:20]:
        shop.change(name, tier="gold")
    shop.at(shop.clock.now() + 15 * 60_000_000)
    enter(load_ground(shop.store, "club", shop.clock.now()))
    shop.run("other")
    assert shop.count(t.send) == 0

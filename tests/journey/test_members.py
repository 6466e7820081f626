"""Entries by a segment: `joins` and `leaves`, with those who were there before."""

from __future__ import annotations

from carillon.advance.overdue import overdue
from tests.foresight.test_plan_counts import foresee
from tests.shop import Interrupted, Shop, instant

GOLD = "{contact: {tier: gold}}"
BUYERS = "{event: order_completed, in_last: 7d}"
JOINS = "entry: {joins: them%s}\njourney: [{email: hello}]\n"
LEAVES = "entry: {leaves: them%s}\njourney: [{email: sorry}]\n"


def club(shop: Shop, who: str = GOLD, entry: str = JOINS % "") -> Shop:
    """Ada and Bob are gold, Cy is not; the campaign has looked once."""
    for name, tier in (("ada", "gold"), ("bob", "gold"), ("cy", "basic")):
        shop.contact(name, tier=tier)
    shop.segment("them", who)
    shop.campaign("club", entry)
    shop.apply()
    shop.run("club")
    return shop


def later(shop: Shop, minutes: int = 15) -> None:
    shop.run("club", shop.clock.now() + minutes * 60_000_000)


def test_who_joins_after_the_first_apply_enters_and_who_was_there_does_not(any_shop: Shop) -> None:
    """A new contact is seen at once; a changed field within a quarter of an hour, by a look that the campaign is woken for."""
    shop = club(any_shop)
    assert (shop.waves(), shop.run("club").next_due) == ([], instant("2026-11-02 12:15"))
    shop.contact("cy", tier="gold")
    shop.contact("dan", tier="gold")
    later(shop, 14)
    assert shop.inbox == ["dan"]
    later(shop, 1)
    assert shop.inbox == ["dan", "cy"]
    later(shop)
    assert [(entry, n, why) for entry, _, n, why in shop.waves()] == [("joins:them", 1, {})] * 2


def test_whom_an_event_moves_joins_at_once(any_shop: Shop) -> None:
    shop = club(any_shop, BUYERS)
    shop.at("2026-11-02 12:01")
    shop.order("cy")
    shop.run("club")
    assert shop.inbox == ["cy"]
    shop.at("2026-11-02 12:02")
    shop.order("cy")
    shop.run("club")
    assert shop.inbox == ["cy"]


def test_who_leaves_enters_by_leaves_even_where_time_alone_moves_them(any_shop: Shop) -> None:
    """An order grows older than a week: nobody did anything, and the look finds it."""
    shop = club(any_shop, BUYERS, LEAVES % ", again: after 30d")
    shop.order("ada", at="2026-11-02 11:00")
    shop.run("club")
    assert shop.inbox == []
    shop.run("club", "2026-11-09 10:59")
    assert shop.inbox == []
    shop.run("club", "2026-11-09 11:15")
    assert shop.inbox == ["ada"]


def test_who_comes_back_enters_again_only_as_again_says(any_shop: Shop) -> None:
    """The default is once, ever."""
    shop = club(any_shop)
    for tier in ("gold", "basic", "gold"):
        shop.contact("cy", tier=tier)
        later(shop)
    assert shop.inbox == ["cy"]
    assert [(n, why) for _, _, n, why in shop.waves()] == [(1, {}), (0, {"again": 1})]


def test_existing_takes_those_in_who_are_there(any_shop: Shop) -> None:
    shop = club(any_shop, entry=JOINS % ", existing: enter")
    assert sorted(shop.inbox) == ["ada", "bob"]
    shop.contact("cy", tier="gold")
    later(shop)
    assert sorted(shop.inbox) == ["ada", "bob", "cy"]
    assert [(entry, n) for entry, _, n, _ in shop.waves()] == [("joins:them", 2), ("joins:them", 1)]


def test_existing_can_come_in_some_a_day(any_shop: Shop) -> None:
    """One a day, at the clock time of the beginning; who left the segment meanwhile does not come any more."""
    any_shop.contact("zoe", tier="gold")
    any_shop.contact("zak", tier="gold")
    shop = club(any_shop, entry=JOINS % ", existing: {enter: 1/d}")
    assert shop.inbox == ["zoe"]
    shop.contact("zak", tier="basic")
    shop.run("club", "2026-11-03 11:50")
    assert shop.inbox == ["zoe"]
    assert shop.run("club").next_due == instant("2026-11-03 12:00")
    shop.run("club", "2026-11-03 12:00")
    shop.run("club", "2026-11-04 12:00")
    shop.run("club", "2026-11-05 12:00")
    assert shop.inbox == ["zoe", "ada", "bob"]
    assert [(ref, n) for _, ref, n, _ in shop.waves()] == [("2026-11-02", 1), ("2026-11-03", 1), ("2026-11-04", 1)]


def test_importing_history_makes_nobody_join(any_shop: Shop) -> None:
    """Whom an imported order puts into the segment is in it, and has not joined."""
    shop = club(any_shop, BUYERS)
    shop.event("cy", "order_completed", "2026-11-01 10:00", history=True, total="10")
    later(shop)
    shop.order("cy")
    later(shop)
    assert (shop.inbox, shop.waves()) == ([], [])


def test_another_definition_of_the_segment_is_no_joining(any_shop: Shop) -> None:
    """Whom the marketer puts in by redefining it did nothing; from then on the new definition counts."""
    shop = club(any_shop)
    shop.segment("them", "{contact: {tier: [gold, basic]}}")
    shop.apply()
    later(shop)
    assert shop.inbox == []
    shop.contact("dan", tier="basic")
    later(shop)
    assert shop.inbox == ["dan"]


def test_a_campaign_that_never_looked_is_overdue(any_shop: Shop) -> None:
    """So the first look comes right after the apply, and those who join from then on are not taken for members."""
    any_shop.contact("ada", tier="gold")
    any_shop.segment("them", GOLD)
    any_shop.campaign("club", JOINS % "")
    any_shop.apply()
    assert overdue(any_shop.store, any_shop.clock.now(), any_shop.clock.now()) == ["club"]
    any_shop.run("club")
    assert overdue(any_shop.store, any_shop.clock.now(), any_shop.clock.now()) == []
    assert overdue(any_shop.store, any_shop.clock.now() + 16 * 60_000_000, any_shop.clock.now()) == ["club"]


def test_an_interrupted_look_takes_everybody_in_once(any_shop: Shop) -> None:
    shop = club(any_shop)
    shop.contact("cy", tier="gold")
    shop.at("2026-11-02 12:20")
    for number in range(1, 8):
        try:
            shop.run("club", stop_before=number)
        except Interrupted:
            continue
    shop.run("club")
    assert shop.inbox == ["cy"]
    assert [n for _, _, n, _ in shop.waves()] == [1]


def test_plan_says_how_many_are_in_it_and_stay_out(any_shop: Shop) -> None:
    shop = club(any_shop)
    assert (foresee(shop, "club").matches, foresee(shop, "club").not_entered) == (2, {"present": 2})
    shop.campaign("more", JOINS % ", existing: enter")
    assert (foresee(shop, "more").matches, foresee(shop, "more").enters) == (2, 2)


def test_of_several_entries_plan_counts_everybody_once(any_shop: Shop) -> None:
    """Ada would come by both; the calendar takes all three in."""
    shop = club(any_shop)
    shop.order("ada")
    entries = "[{at: 2026-12-01 09:00}, {event: order_completed}]"
    shop.campaign("both", f"audience: everyone\nentry: {entries}\njourney: [{{email: both}}]\n")
    assert foresee(shop, "both").enters == 3

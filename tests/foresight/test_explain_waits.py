"""`explain` tells each wait that ended, when it began, when and why it ended, and each move between versions."""

from __future__ import annotations

from carillon.cli.explain import lines
from carillon.kernel.clock import from_micros
from carillon.store import tables as t
from tests.foresight.test_explain import ask
from tests.shop import Shop

CART = "audience: everyone\nentry: {event: cart_updated, again: always}\n"


def waits(shop: Shop, name: str = "ada", campaign: str = "cart") -> list[tuple[str, str, str, str, str]]:
    """(step, since, until, what, why) of each wait of the newest way."""
    return [
        (h.step, _clock(h.since), _clock(h.at), h.what, h.why)
        for h in ask(shop, name, campaign).ways[-1].happenings
        if h.since is not None
    ]


def _clock(at: int | None) -> str:
    return "–" if at is None else f"{from_micros(at):%m-%d %H:%M}"


def begin(shop: Shop, campaign: str, name: str = "ada") -> None:
    """Ada puts something into her cart at 11:01 UTC on 2 November, and the campaign runs at once."""
    shop.contact(name, tier="gold")
    shop.campaign("cart", campaign)
    shop.apply()
    shop.at("2026-11-02 12:01")
    shop.event(name, "cart_updated", cart_id="c", total="20")
    shop.run("cart")


def test_waits_that_came_to_their_end_are_told(any_shop: Shop) -> None:
    """Two waits behind each other, then a late mail and a wait: each began where the step before it ended."""
    shop = any_shop
    begin(
        shop,
        CART + "journey: [{wait: 1d, id: day}, {wait: {days: 1, at: 09:00}, id: morning}, {email: hi}, {wait: 2h}]\n",
    )
    assert waits(shop) == []
    shop.run("cart", "2026-11-03 13:00")
    shop.run("cart", "2026-11-04 15:30")
    shop.run("cart", "2026-11-04 17:30")
    assert waits(shop) == [
        ("day", "11-02 11:01", "11-03 11:01", "waited", "its time came"),
        ("morning", "11-03 11:01", "11-04 09:00", "waited", "its time came"),
        ("wait.email.hi", "11-04 14:30", "11-04 16:30", "waited", "its time came"),
    ]
    line = "  2026-11-03 11:01:00 UTC  day: waited since 2026-11-02 11:01:00 UTC – its time came"
    assert line in list(lines(ask(shop, "ada", "cart")))


FOR = "journey: [{wait_for: [{if: %s, then: {exit: yes_}}, {after: 10d, then: {email: late}}], id: w}]\n"


def test_what_ended_a_wait_for_something_is_told(any_shop: Shop) -> None:
    """An order, by its event at its instant, however late the run."""
    shop = any_shop
    begin(shop, CART + FOR % "{event: order_completed}")
    shop.order("ada", at="2026-11-04 10:00")
    shop.run("cart", "2026-11-04 12:00")
    assert waits(shop) == [
        ("w", "11-02 11:01", "11-04 09:00", "took event.order_completed", "order_completed, as it happened")
    ]


def test_what_only_the_question_tells_is_told_so_and_time_as_time(shop: Shop) -> None:
    begin(shop, CART + FOR % "{contact: {tier: silver}}")
    shop.run("cart", "2026-11-03 12:00")
    shop.change("ada", tier="silver")
    shop.run("cart", "2026-11-03 13:00")
    assert waits(shop) == [("w", "11-02 11:01", "11-03 12:00", "took contact.tier", "tier is silver, found when asked")]
    shop.contact("bob", tier="gold")
    shop.event("bob", "cart_updated", cart_id="c", total="20")
    shop.run("cart")
    shop.run("cart", "2026-11-20 12:00")
    assert waits(shop, "bob") == [("w", "11-03 12:00", "11-13 12:00", "took after", "its time came")]


def test_a_wait_that_an_exit_cut_short_says_so(any_shop: Shop) -> None:
    """Behind a wait that had ended; the exit is of the run that found it."""
    shop = any_shop
    begin(
        shop, CART + "exit_on: [{event: cart_emptied}]\njourney: [{wait: 1d, id: a}, {wait: 5d, id: b}, {email: hi}]\n"
    )
    shop.run("cart", "2026-11-04 12:00")
    shop.event("ada", "cart_emptied", "2026-11-04 12:30", cart_id="c")
    shop.run("cart", "2026-11-04 13:00")
    assert waits(shop) == [
        ("a", "11-02 11:01", "11-03 11:01", "waited", "its time came"),
        ("b", "11-03 11:01", "11-04 12:00", "waited", "left: cart_emptied"),
    ]


def test_a_day_that_was_past_on_arrival_is_told(shop: Shop) -> None:
    begin(shop, CART + "journey: [{wait: 1d, id: a}, {wait: {until: 2026-11-01 18:00}, id: b}, {email: hi}]\n")
    shop.run("cart", "2026-11-04 12:00")
    assert waits(shop) == [
        ("a", "11-02 11:01", "11-03 11:01", "waited", "its time came"),
        ("b", "11-03 11:01", "11-03 11:01", "waited", "its day was past on arrival"),
    ]


def test_the_first_wait_begins_when_the_entry_came_to_the_contact(shop: Shop) -> None:
    """On Ada's clock (London) an hour after the first zone's; of a cart left alone when it was ripe, not when the run came."""
    shop.contact("eva", country="ES")
    shop.contact("ada")
    sale = "audience: everyone\nentry: {at: 2026-11-03 09:00, timezone: contact}\njourney: [{wait: 1d, id: a}, {email: hi}]\n"
    shop.campaign("sale", sale)
    idle = "audience: everyone\nentry: {event: cart_updated, idle: 1h}\njourney: [{wait: 1d, id: a}, {email: hi}]\n"
    shop.campaign("cart", idle)
    shop.apply()
    shop.run_to("sale", "2026-11-04 12:00")
    assert waits(shop, campaign="sale") == [("a", "11-03 09:00", "11-04 09:00", "waited", "its time came")]
    shop.event("ada", "cart_updated", cart_id="c", total="20")
    shop.run("cart", "2026-11-04 15:00")
    shop.run("cart", "2026-11-05 16:00")
    assert waits(shop) == [("a", "11-04 12:00", "11-05 12:00", "waited", "its time came")]


def test_moves_between_versions_are_told(any_shop: Shop) -> None:
    """From which to which, at which step, what is due instead; the wait goes on from where it began."""
    shop = any_shop
    begin(shop, CART + "journey: [{wait: 1h, id: a}, {wait: 2d, id: pause}, {email: old}]\n")
    shop.run("cart", "2026-11-02 14:00")
    shop.at("2026-11-02 15:00")
    shop.campaign("cart", CART + "on_change: {move: latest}\njourney: [{wait: 3d, id: pause}, {email: new}]\n")
    shop.apply()
    shop.run("cart", "2026-11-02 16:00")
    told = ask(shop, "ada", "cart")
    (way,) = told.ways
    (move,) = way.moves
    assert (move.step, move.from_version, move.to_version, way.version) == ("pause", 1, 2, 2)
    assert [_clock(at) for at in (move.at, move.applied_at, move.due_before, move.due_at)] == [
        "11-02 15:00", "11-02 14:00", "11-04 12:01", "11-05 12:01",
    ]  # fmt: skip
    assert (
        "  2026-11-02 15:00:00 UTC  pause: moved from version 1 to 2, next 2026-11-05 12:01:00 UTC instead of "
        "2026-11-04 12:01:00 UTC – `on_change: {move: latest}`, applied 2026-11-02 14:00:00 UTC"
    ) in list(lines(told))
    shop.run("cart", "2026-11-05 14:00")
    assert waits(shop) == [
        ("a", "11-02 11:01", "11-02 12:01", "waited", "its time came"),
        ("pause", "11-02 12:01", "11-05 12:01", "waited", "its time came"),
    ]


def test_what_was_moved_before_that_was_written_down_is_not_made_up(shop: Shop) -> None:
    """An older store knows the step alone: no wait of such a way is told."""
    begin(shop, CART + "journey: [{wait: 1h, id: a}, {email: hi}]\n")
    shop.run("cart", "2026-11-02 14:00")
    assert len(waits(shop)) == 1
    row = {"enrolment_id": 1, "to_version": 1, "from_version": 0, "node_id": 1, "at": 0}
    with shop.store.write("ledger") as connection:
        connection.execute(t.moved.insert().values(row))
    assert (waits(shop), ask(shop, "ada", "cart").ways[0].moves) == ([], ())

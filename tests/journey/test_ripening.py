"""Entries that wait for quiet: `idle`."""

from __future__ import annotations

import pytest

from carillon.advance.overdue import overdue
from tests.shop import Shop, instant

CARTS = """\
goal: {event: order_completed, same: cart_id, within: 3d}
exit_on: [goal, {event: cart_emptied, same: cart_id}]
audience: everyone
entry: {event: cart_updated, where: {total: {over: 20}}, once_per: cart_id, idle: 1h%s}
journey: [{email: cart}]
"""


def carts(shop: Shop, more: str = "") -> Shop:
    shop.contact("ada")
    shop.contact("bob")
    shop.campaign("cart", CARTS % more)
    shop.apply()
    shop.run("cart")
    return shop


def update(shop: Shop, name: str, cart: str, at: str, total: str = "30") -> None:
    shop.event(name, "cart_updated", f"2026-11-02 {at}", cart_id=cart, total=total)


def test_a_thing_enters_once_it_was_idle_and_a_change_puts_it_off(any_shop: Shop) -> None:
    """An hour after the last change, not after the first; the campaign wants to be advanced at that very instant."""
    shop = carts(any_shop)
    shop.at("2026-11-02 12:30")
    update(shop, "ada", "c1", "12:30")
    assert shop.run("cart").next_due == instant("2026-11-02 13:30")
    shop.at("2026-11-02 13:20")
    update(shop, "ada", "c1", "13:20")
    assert shop.run("cart").next_due == instant("2026-11-02 14:20")
    shop.run("cart", "2026-11-02 13:30")
    assert shop.inbox == []
    shop.run("cart", "2026-11-02 14:20")
    assert shop.inbox == ["ada"]
    shop.run("cart", "2026-11-02 20:00")
    assert [(entry, n, why) for entry, _, n, why in shop.waves()] == [("event:cart_updated", 1, {})]


def test_the_order_in_which_events_arrive_changes_nothing(any_shop: Shop) -> None:
    """An older event that arrives later neither puts off nor becomes the trigger; the newest one says whether it fits."""
    shop = carts(any_shop)
    shop.at("2026-11-02 12:40")
    update(shop, "ada", "c1", "12:35", total="10")
    update(shop, "bob", "c2", "12:35")
    shop.run("cart")
    update(shop, "ada", "c1", "12:31", total="90")
    update(shop, "bob", "c2", "12:31", total="1")
    assert shop.run("cart").next_due == instant("2026-11-02 13:35")
    shop.run("cart", "2026-11-02 13:35")
    assert shop.inbox == ["bob"]


@pytest.mark.parametrize(
    ("kind", "props", "code"),
    [
        ("order_completed", {"order_id": "o1", "cart_id": "c1", "total": "30"}, "goal"),
        ("cart_emptied", {"cart_id": "c1"}, "cart_emptied"),
    ],
)
def test_an_exit_that_comes_before_entry_cancels_it(
    any_shop: Shop, kind: str, props: dict[str, str], code: str
) -> None:
    """The goal and exits are looked at from the trigger event on, and are told as the reason."""
    shop = carts(any_shop)
    shop.at("2026-11-02 12:10")
    update(shop, "ada", "c1", "12:10")
    shop.at("2026-11-02 12:20")
    shop.event("ada", kind, **props)
    shop.run("cart", "2026-11-02 13:10")
    assert shop.inbox == []
    assert [(n, why) for _, _, n, why in shop.waves()] == [(0, {code: 1})]


def test_what_ended_another_thing_or_came_before_the_trigger_cancels_nothing(any_shop: Shop) -> None:
    """The order of another cart, and one of this cart before its last change, leave it ripening."""
    shop = carts(any_shop)
    shop.at("2026-11-02 12:10")
    update(shop, "ada", "c1", "12:10")
    shop.order("ada", order_id="o1", cart_id="c9")
    shop.at("2026-11-02 12:15")
    shop.order("ada", order_id="o2", cart_id="c1")
    shop.at("2026-11-02 12:20")
    update(shop, "ada", "c1", "12:20")
    shop.run("cart", "2026-11-02 13:20")
    assert shop.inbox == ["ada"]


def test_each_cart_ripens_by_itself_and_again_speaks_of_the_person(any_shop: Shop) -> None:
    """Two carts are two things; with `again: after 3d` only the newest of two that are ripe at once takes the person in."""
    shop = carts(any_shop, ", again: after 3d")
    shop.at("2026-11-02 12:10")
    update(shop, "ada", "c1", "12:05")
    update(shop, "ada", "c2", "12:10")
    update(shop, "bob", "c3", "12:10")
    shop.run("cart", "2026-11-02 13:30")
    assert sorted(shop.inbox) == ["ada", "bob"]
    assert shop.things("cart") == [("ada", "c2"), ("bob", "c3")]


def test_a_ripe_thing_nobody_looked_at_in_time_is_too_late_and_counted(any_shop: Shop) -> None:
    """`if_late` counts from the instant at which it was ripe: 24 hours, or as written."""
    shop = carts(any_shop, ", if_late: 2h")
    shop.at("2026-11-02 12:10")
    update(shop, "ada", "c1", "12:10")
    shop.run("cart")
    shop.at("2026-11-02 15:30")
    update(shop, "bob", "c2", "12:40")
    assert overdue(shop.store, shop.clock.now(), shop.clock.now()) == ["cart"]
    shop.run("cart")
    assert shop.inbox == ["bob"]
    assert [(n, why) for _, _, n, why in shop.waves()] == [(1, {"late": 1})]
    assert overdue(shop.store, shop.clock.now(), shop.clock.now()) == []


def test_what_happened_before_the_first_apply_or_came_as_history_ripens_for_nobody(any_shop: Shop) -> None:
    shop = carts(any_shop)
    shop.at("2026-11-02 12:30")
    update(shop, "ada", "c1", "11:50")
    shop.event("bob", "cart_updated", "2026-11-02 12:20", history=True, cart_id="c2", total="50")
    assert shop.run("cart").next_due is None
    assert shop.waves() == []


def test_an_event_that_arrives_after_its_thing_was_taken_in_enters_nobody_twice(any_shop: Shop) -> None:
    """With `again: after 1h` a straggler of the same visit would enter once more, were it not older than the trigger."""
    shop = carts(any_shop, ", again: after 1h")
    shop.at("2026-11-02 12:10")
    update(shop, "ada", "c1", "12:10")
    shop.run("cart", "2026-11-02 13:10")
    shop.at("2026-11-02 15:00")
    update(shop, "ada", "c1", "12:05")
    assert shop.run("cart").next_due is None
    assert shop.inbox == ["ada"]


def test_an_interrupted_entry_is_repeated_to_the_same_rows(any_shop: Shop) -> None:
    """Killed before any of its transactions and run again, nobody enters twice and nobody is forgotten."""
    from tests.shop import Interrupted

    shop = carts(any_shop)
    shop.at("2026-11-02 12:10")
    update(shop, "ada", "c1", "12:10")
    update(shop, "bob", "c2", "12:10")
    shop.at("2026-11-02 13:10")
    for number in range(1, 8):
        try:
            shop.run("cart", stop_before=number)
        except Interrupted:
            continue
    shop.run("cart")
    assert sorted(shop.inbox) == ["ada", "bob"]
    assert [n for _, _, n, _ in shop.waves()] == [2]

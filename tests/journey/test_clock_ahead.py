"""A shop's clock that runs ahead of ours: what it stamps later than now enters when that instant comes."""

from __future__ import annotations

from tests.shop import Shop, instant

CARTS = """\
audience: everyone
entry: {event: cart_updated, again: always%s}
journey: [{email: cart}]
"""


def carts(shop: Shop, more: str = "") -> Shop:
    shop.contact("ada")
    shop.campaign("cart", CARTS % more)
    shop.apply()
    shop.run("cart")
    return shop


def test_an_event_stamped_ahead_enters_once_when_its_instant_comes(any_shop: Shop) -> None:
    """Neither forgotten nor early nor twice; the campaign wants to be advanced at that very instant."""
    shop = carts(any_shop)
    shop.event("ada", "cart_updated", "2026-11-02 12:05", cart_id="c1", total="30")
    assert shop.run("cart").next_due == instant("2026-11-02 12:05")
    assert shop.inbox == []
    shop.run("cart", "2026-11-02 12:05")
    shop.run("cart", "2026-11-02 12:30")
    assert shop.inbox == ["ada"]


def test_idle_counts_from_the_stamp_that_lies_ahead(any_shop: Shop) -> None:
    shop = carts(any_shop, ", idle: 1h")
    shop.event("ada", "cart_updated", "2026-11-02 12:05", cart_id="c1", total="30")
    assert shop.run("cart").next_due == instant("2026-11-02 13:05")
    shop.run("cart", "2026-11-02 13:05")
    assert shop.inbox == ["ada"]


def test_history_that_lies_ahead_and_a_wrong_date_enter_nobody(any_shop: Shop) -> None:
    """An import enrols nobody whatever its stamps; what lies more than a day ahead is a wrong date, not a fast clock."""
    shop = carts(any_shop)
    shop.event("ada", "cart_updated", "2026-11-02 12:05", history=True, cart_id="c1", total="30")
    shop.event("ada", "cart_updated", "2027-11-02 12:05", cart_id="c1", total="30")
    assert shop.run("cart").next_due is None
    shop.run("cart", "2026-11-02 12:30")
    assert shop.inbox == []

"""A code that stands in an order is redeemed from the first such order on, in whatever order the orders come in."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.feedback.fold import fold
from carillon.store import tables as t
from tests.shop import DATA, Shop, instant


def redeemed(shop: Shop) -> list[tuple[str, int]]:
    with shop.store.read() as connection:
        return list(connection.execute(sa.select(t.redemption).order_by(t.redemption.c.code)).tuples())


def test_the_first_order_with_a_code_counts(any_shop: Shop) -> None:
    """Told late, twice, in small letters, by somebody else: one row and the earliest instant."""
    shop = any_shop
    shop.write("data.yaml", DATA.replace("total: money}", "total: money, coupon: word}", 1))
    shop.contact("ada")
    shop.order("ada", at="2026-11-02 11:00", coupon="SPRING-1")
    shop.order("ada", at="2026-11-02 11:30", coupon="spring-1")
    shop.order("nobody", at="2026-11-02 11:10", coupon="Spring-2")
    shop.order("ada", at="2026-11-02 11:20")
    fold(shop.store, shop.clock.now())
    shop.order("ada", at="2026-11-02 10:00", coupon=" Spring-1 ")
    shop.order("ada", at="2026-11-02 11:50", coupon="SPRING-2")
    fold(shop.store, shop.clock.now())
    assert redeemed(shop) == [("SPRING-1", instant("2026-11-02 10:00")), ("SPRING-2", instant("2026-11-02 11:10"))]

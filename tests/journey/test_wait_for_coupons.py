"""Who waits for what becomes of a coupon is asked when something can have: its end, or an order that bears it."""

from __future__ import annotations

from carillon.advance.attend import Seen, concerned, newest_seen
from carillon.feedback.fold import fold
from carillon.kernel.clock import from_micros
from tests.delivery.test_codes_handed_out import CODE, shop_with
from tests.foresight.test_explain_waits import waits
from tests.shop import Shop

SALE = """\
audience: everyone
entry: {at: 2026-11-03 09:00}
journey:
  - {email: hello, coupon: cart5}
  - wait_for:
      - {if: {coupon: cart5, is: redeemed}, then: {exit: used}}
      - {if: {coupon: cart5, is: expired}, then: {exit: over}}
      - {after: 30d, then: {exit: late}}
    id: w
"""


EXPIRED = "      - {if: {coupon: cart5, is: expired}, then: {exit: over}}\n"


def begin(shop: Shop, rule: str = "{valid_for: 7d}", sale: str = SALE) -> Shop:
    """Ada and Bob get A0 and A1 on 3 November at 8:00 UTC, good for a week."""
    shop_with(shop, ["A0", "A1"], rule)
    shop.campaign("sale", sale, CODE)
    for name in ("ada", "bob"):
        shop.contact(name)
    shop.apply()
    return shop


def next_due(shop: Shop, at: str) -> str:
    due = shop.run("sale", at).next_due
    return "–" if due is None else f"{from_micros(due):%m-%d %H:%M}"


def test_the_end_of_the_code_is_what_is_waited_for(any_shop: Shop) -> None:
    """A week is two advances, not 672; the wait ends at the end of the code."""
    shop = begin(any_shop)
    assert next_due(shop, "2026-11-03 09:00") == "11-10 08:00"
    shop.run("sale", "2026-11-10 09:00")
    assert shop.enrolments == {"ada": "over", "bob": "over"}
    assert waits(shop, campaign="sale") == [
        ("w", "11-03 08:00", "11-10 08:00", "took coupon.2", "coupon cart5 expired")
    ]


def test_an_order_with_the_code_wakes_its_holder_whoever_ordered(any_shop: Shop) -> None:
    """A guest orders with Ada's code in small letters: the campaign is concerned, and Ada goes on as of the order."""
    shop = begin(any_shop)
    shop.run("sale", "2026-11-03 09:00")
    shop.at("2026-11-04 12:00")
    seen = newest_seen(shop.engine)
    shop.order("a guest", at="2026-11-04 11:30", coupon=" a0")
    fold(shop.store, shop.clock.now(), heard=())
    after = newest_seen(shop.engine)
    assert after == Seen(seen.signal + 1, seen.change)
    assert concerned(shop.engine, seen, after) == ["sale"]
    assert next_due(shop, "2026-11-04 12:00") == "11-10 08:00"
    assert shop.enrolments == {"ada": "used", "bob": "w"}
    assert waits(shop, campaign="sale")[0][:3] == ("w", "11-03 08:00", "11-04 10:30")


def test_a_code_without_an_end_is_waited_for_until_the_wait_is_over(shop: Shop) -> None:
    begin(shop, "{}", sale=SALE.replace(EXPIRED, ""))
    assert next_due(shop, "2026-11-03 09:00") == "12-03 08:00"


def test_an_order_ahead_of_our_clock_counts_when_its_instant_comes(shop: Shop) -> None:
    begin(shop)
    shop.run("sale", "2026-11-03 09:00")
    shop.order("ada", at="2026-11-03 12:30", coupon="A0")
    assert next_due(shop, "2026-11-03 12:00") == "11-03 11:30"
    shop.run("sale", "2026-11-03 12:30")
    assert shop.enrolments == {"ada": "used", "bob": "w"}


def test_a_code_of_another_campaign_is_asked_every_quarter_of_an_hour(shop: Shop) -> None:
    """Nothing tells that one is given there."""
    begin(shop)
    other = SALE.replace("{email: hello, coupon: cart5}", "email: plain").replace(
        "2026-11-03 09:00", "2026-11-03 10:00"
    )
    shop.campaign("other", other)
    shop.apply("other")
    shop.run("sale", "2026-11-03 09:00")
    due = shop.run("other", "2026-11-03 10:00").next_due
    assert due is not None
    assert f"{from_micros(due):%m-%d %H:%M}" == "11-03 09:15"

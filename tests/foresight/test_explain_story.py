"""The whole story of one contact: what could have taken them in and why it did not, whose clock, lateness, conversions."""

from __future__ import annotations

from carillon.cli.explain import lines
from tests.foresight.test_explain import ask
from tests.shop import Shop

CART = """\
audience: {contact: {tier: gold}}
entry: {event: cart_updated, where: {total: {over: 10}}, once_per: cart_id, again: after 3d}
goal: {event: order_completed, same: cart_id, within: 3d, value: total}
journey: [{email: cart}, {wait: 1d}, {email: again}]
"""
WEEKLY = "audience: {contact: {tier: gold}}\nentry: {every: tuesday, at: 09:00}\njourney: [{email: news}]\n"


def cart(shop: Shop, at: str, cart_id: str, total: str = "20", **more: bool) -> None:
    shop.event("ada", "cart_updated", at, cart_id=cart_id, total=total, **more)


def test_each_event_says_whether_it_took_them_in_and_why_not(any_shop: Shop) -> None:
    """Before the apply, as history, too small, too late, under way, had before, not read yet: each with its reason."""
    shop = any_shop
    shop.contact("ada", tier="gold")
    shop.campaign("cart", CART)
    shop.apply()
    shop.at("2026-11-05 12:00")
    cart(shop, "2026-11-01 12:00", "c0")
    cart(shop, "2026-11-03 10:00", "c1", history=True)
    cart(shop, "2026-11-03 11:00", "c2")
    cart(shop, "2026-11-05 10:00", "c3", total="9")
    cart(shop, "2026-11-05 11:00", "c4")
    shop.run("cart")
    shop.at("2026-11-05 13:00")
    cart(shop, "2026-11-05 12:30", "c5")
    shop.run("cart")
    cart(shop, "2026-11-05 12:50", "c6")
    told = ask(shop, "ada", "cart")
    assert [(one.thing, one.why) for one in told.chances] == [
        ("c0", "before the campaign was first applied"),
        ("c1", "imported history, which takes nobody in"),
        ("c2", "came 49h late, 1d is allowed"),
        ("c3", "`where` does not hold of it"),
        ("c4", ""),
        ("c5", "had it before"),
        ("c6", "not looked at yet"),
    ]
    assert [one.thing for one in told.chances if one.took_in] == ["c4"]
    assert "  2026-11-05 10:00:00 UTC  event:cart_updated c4: took them in" in list(lines(told))


def test_who_was_not_in_the_audience_when_it_happened_is_told_so(shop: Shop) -> None:
    """Also where the audience would hold now."""
    shop.contact("ada", tier="basic")
    shop.campaign("cart", CART)
    shop.apply()
    shop.at("2026-11-05 12:00")
    cart(shop, "2026-11-05 11:00", "c1")
    shop.run("cart")
    shop.change("ada", tier="gold")
    told = ask(shop, "ada", "cart")
    assert [one.why for one in told.chances] == ["the audience did not hold, or an exit came first"]
    assert told.audience.holds is True


def test_each_wave_of_a_scheduled_entry_is_told(any_shop: Shop) -> None:
    """Not in the audience the first time, taken in the second; a contact who came later was not known."""
    shop = any_shop
    shop.contact("ada", tier="basic")
    shop.campaign("weekly", WEEKLY)
    shop.apply()
    shop.run("weekly", "2026-11-03 09:00")
    shop.change("ada", tier="gold")
    shop.run("weekly", "2026-11-10 09:00")
    shop.contact("bob", tier="gold")
    told = ask(shop, "ada", "weekly")
    assert [(one.thing, one.took_in, one.why) for one in told.chances] == [
        ("2026-11-03", False, "not in the audience then, or too late for it"), ("2026-11-10", True, ""),
    ]  # fmt: skip
    assert [way.entry for way in told.ways] == ["every"]


def test_the_clock_the_lateness_and_the_goal_are_told(any_shop: Shop) -> None:
    """Ada's clock is London's, by her country; the first mail was an hour late, and her order of that cart counts."""
    shop = any_shop
    shop.contact("ada", tier="gold")
    shop.campaign("cart", CART)
    shop.apply()
    shop.at("2026-11-05 12:00")
    cart(shop, "2026-11-05 11:00", "c1")
    shop.run("cart")
    shop.order("ada", "49.90", "2026-11-06 10:00", cart_id="c1", order_id="o1")
    shop.order("ada", "10", "2026-11-06 10:00", cart_id="another", order_id="o2")
    shop.run("cart", "2026-11-06 13:00")
    told = ask(shop, "ada", "cart")
    assert told.clock == "Europe/London, by their country"
    (way,) = told.ways
    assert (way.entry, way.thing, way.trigger_at is not None) == ("event:cart_updated", "c1", True)
    assert [(h.step, h.what, h.why) for h in way.happenings if not h.what.startswith("attempt")] == [
        ("email.cart", "email accepted", ""),
        ("goal", "order_completed counts", "49.90 EUR"),
        ("wait.email.cart", "waited", "its time came"),
        ("email.again", "email accepted, due since 2026-11-06 11:00:00 UTC", ""),
    ]

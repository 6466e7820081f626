"""What was reserved more than five minutes ago is asked again: segments and events as they are when the message leaves."""

from __future__ import annotations

from carillon.delivery.reserve import reserve
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.store.zones import ready_for_zones
from tests.shop import Shop

SALE = "audience: everyone\nentry: {{at: 2026-12-01 09:00}}\njourney:\n  - {{email: sale{more}}}\n"
UNLESS_ORDERED = ", only_if: {event: order_completed, in_last: 30d, count: 0}"


def reserved(shop: Shop, more: str = "", workspace: str = "") -> Shop:
    """Three people in a ready batch, as a run leaves them that was killed before it handed anything over."""
    shop.workspace(workspace)
    shop.segment("staff", "{contact: {tier: gold}}")
    shop.campaign("sale", SALE.format(more=more))
    for name in ("ada", "bob", "cem"):
        shop.contact(name)
    shop.apply()
    shop.at("2026-12-01 09:00")
    ready_for_zones(shop.store)
    ground = load_ground(shop.store, "sale", shop.clock.now())
    enter(ground)
    reserve([ground], max_people={})
    assert set(shop.sends("email.sale").values()) == {"ready"}
    return shop


def test_who_ordered_meanwhile_is_skipped(any_shop: Shop) -> None:
    """`only_if` asks for events: bob's order comes after the decision and ten minutes before the hand-over."""
    shop = reserved(any_shop, UNLESS_ORDERED)
    shop.order("bob", at="2026-12-01 09:03")
    shop.run("sale", "2026-12-01 09:13")
    assert shop.inbox == ["ada", "cem"]
    assert shop.skips == {"bob": "only_if"}
    assert shop.enrolments == dict.fromkeys(("ada", "bob", "cem"), "finished")


def test_who_came_into_an_excluded_segment_is_skipped(any_shop: Shop) -> None:
    shop = reserved(any_shop, workspace="exclude: [{segment: staff}]\n")
    shop.change("ada", tier="gold")
    shop.run("sale", "2026-12-01 09:05")
    assert shop.inbox == ["bob", "cem"]
    assert shop.skips == {"ada": "excluded"}


def test_within_five_minutes_the_answer_holds(shop: Shop) -> None:
    """The set is asked once and handed over; what changes in these minutes is at most five minutes too late."""
    reserved(shop, UNLESS_ORDERED)
    shop.order("bob", at="2026-12-01 09:03")
    shop.run("sale", "2026-12-01 09:04")
    assert shop.inbox == ["ada", "bob", "cem"]


def test_a_batch_of_which_nobody_is_left_is_over_and_its_money_given_back(any_shop: Shop) -> None:
    shop = reserved(any_shop, UNLESS_ORDERED, workspace="costs: {email: 0.01}\nbudget: {per: month, amount: 0.03}\n")
    for name in ("ada", "bob", "cem"):
        shop.order(name, at="2026-12-01 09:03")
    shop.run("sale", "2026-12-01 10:00")
    assert (shop.inbox, set(shop.skips.values()), shop.violations()) == ([], {"only_if"}, [])
    shop.campaign("next", SALE.format(more="").replace("09:00", "11:00").replace("sale", "next"))
    shop.apply()
    shop.run("next", "2026-12-01 11:00")
    assert shop.inbox == ["ada", "bob", "cem"]


def test_a_message_without_conditions_is_not_asked(shop: Shop) -> None:
    reserved(shop)
    shop.change("ada", tier="gold")
    shop.run("sale", "2026-12-01 10:00")
    assert shop.inbox == ["ada", "bob", "cem"]

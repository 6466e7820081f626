"""Why a contact got something, or nothing."""

from __future__ import annotations

import pytest

from carillon.cli.explain import lines
from carillon.delivery.protocol import Unsure
from carillon.foresight.explain import Explained, explain
from carillon.journey.ground import load_ground
from carillon.store.zones import ready_for_zones
from tests.shop import Shop

SALE = """\
audience: [{contact: {tier: [gold, silver]}}, {event: order_completed, count: {at_least: 1}}]
entry: {at: 2026-12-01 09:00}
holdout: 10%
exit_on: [goal]
goal: {event: order_completed, within: 5d}
journey:
  - email: sale
    test: {variants: [plain, personal]}
  - wait: 2d
  - choose:
      - if: {clicked: sale}
        then: {exit: interested}
      - otherwise: [{sms: last}]
"""


def ask(shop: Shop, contact: str, campaign: str = "sale") -> Explained:
    ready_for_zones(shop.store)
    with shop.store.read() as connection:
        return explain(connection, load_ground(shop.store, campaign, shop.clock.now()), contact)


def test_each_part_of_the_condition_says_what_it_found(any_shop: Shop) -> None:
    any_shop.contact("ada", tier="gold")
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    told = ask(any_shop, "ada")
    assert told.audience.holds is False
    assert [(p.holds, p.found) for p in told.audience.parts] == [(True, "tier gold"), (False, "none ever")]
    assert told.entries[0][1] == "no: not in the audience"
    any_shop.order("ada")
    any_shop.run("sale")
    told = ask(any_shop, "ada")
    assert [(p.holds, p.found) for p in told.audience.parts] == [
        (True, "tier gold"),
        (True, "1 ever, the last 2026-11-02"),
    ]
    assert told.entries[0][1] == "yes at 2026-12-01 08:00 UTC"
    assert told.ways == ()


def test_the_whole_way_is_told_in_order(any_shop: Shop) -> None:
    any_shop.contact("ada", tier="gold", phone="+447700900001")
    any_shop.order("ada", at="2026-11-01 10:00")
    any_shop.campaign("sale", SALE.replace("holdout: 10%\n", ""))
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.click("ada", "email.sale", "2026-12-01 10:00")
    any_shop.run("sale", "2026-12-03 09:00")
    told = ask(any_shop, "ada")
    (way,) = told.ways
    arm = any_shop.arms("email.sale")["ada"]
    assert [(h.step, h.what) for h in way.happenings] == [
        ("email.sale", f"email ({arm}) accepted, the texts of 2026-11-02 11:00 UTC"),
        ("email.sale", "attempt 1 of batch 1 by sandbox.email: accepted"),
        ("email.sale", "clicked"),
        ("wait.email.sale", "waited"),
        ("choose.email.sale", "took clicked.sale"),
        ("exit.interested", "took exit"),
    ]
    assert (way.exit_code, way.stands_at, told.role) == ("interested", None, "treated")
    assert told.entries[0][1].startswith("no")
    assert any("left: interested" in line for line in lines(told))


def test_buckets_and_shares_say_why_somebody_is_held(shop: Shop) -> None:
    shop.workspace("holdout: 100%\n")
    shop.contact("ada", tier="gold")
    shop.order("ada")
    shop.campaign("sale", SALE)
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    told = ask(shop, "ada")
    assert told.role == "held_global"
    assert [(d.experiment, d.share, d.is_held) for d in told.draws] == [
        ("holdout", 10_000, True),
        ("sale/@holdout", 1_000, told.draws[1].bucket < 1_000),
    ]
    assert [h.what for h in told.ways[0].happenings] == ["email (personal) ghost"]


def test_the_policy_is_asked_for_messages_that_are_ahead(any_shop: Shop) -> None:
    """Ada stands before the text message and has no telephone; Bob never entered and said no to mail."""
    any_shop.contact("ada", tier="gold")
    any_shop.contact("bob", consent=())
    any_shop.order("ada")
    any_shop.campaign("sale", SALE.replace("holdout: 10%\n", ""))
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    assert ask(any_shop, "ada").messages == (("sms.last", "no_address"),)
    assert ask(any_shop, "bob").messages == (("email.sale", "no_consent"), ("sms.last", "no_address"))


def test_who_had_it_before_is_told_so(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign(
        "cart", "audience: everyone\nentry: {event: cart_updated, once_per: cart_id}\njourney: [{email: cart}]\n"
    )
    shop.apply()
    assert ask(shop, "ada", "cart").entries[0][1] == "no: no such event fits, or the audience does not"
    shop.at("2026-11-02 12:10")
    shop.event("ada", "cart_updated", cart_id="c", total="1")
    shop.run("cart")
    assert ask(shop, "ada", "cart").entries[0][1] == "no: had it before"


def test_an_unknown_contact_is_a_sentence(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign("sale", SALE)
    shop.apply()
    with pytest.raises(LookupError, match='no contact "bob" is known'):
        ask(shop, "bob")


def test_who_had_it_is_told_when_and_not_that_they_would_get_it(any_shop: Shop) -> None:
    """Of a letter that comes once that is all; of one that comes each day the next time is told too."""
    any_shop.contact("ada")
    any_shop.contact("bob", consent=())
    any_shop.campaign("once", "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: once}]\n")
    any_shop.campaign("daily", "audience: everyone\nentry: {every: day, at: 09:00}\njourney: [{email: daily}]\n")
    any_shop.apply()
    any_shop.at("2026-12-01 08:00")
    assert ask(any_shop, "ada", "once").messages == (("email.once", "would get it"),)
    for name in ("once", "daily"):
        any_shop.run(name, "2026-12-01 09:00")
    assert ask(any_shop, "ada", "once").messages == (("email.once", "already had it, 2026-12-01 08:00 UTC"),)
    assert ask(any_shop, "ada", "daily").messages == (
        ("email.daily", "already had it, 2026-12-01 08:00 UTC; the next time: would get it"),
    )
    assert ask(any_shop, "bob", "once").messages == (("email.once", "no_consent"),)
    any_shop.mail.answer = lambda letter: Unsure("no answer")
    any_shop.run("daily", "2026-12-02 09:00")
    assert ask(any_shop, "ada", "daily").messages == (
        ("email.daily", "may have had it already (unsure), 2026-12-02 08:00 UTC; the next time: would get it"),
    )

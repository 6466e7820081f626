"""What `plan` counts is what the run then does: the same Selects, nothing written."""

from __future__ import annotations

from carillon.foresight.hypothetical import hypothetical
from carillon.foresight.outlook import Outlook, outlook
from carillon.store import tables as t
from carillon.store.zones import ready_for_zones
from tests.shop import Shop, counted

SALE = """\
audience: everyone
entry: {at: 2026-12-01 09:00, timezone: contact}
holdout: 20%
journey: [{email: sale}, {wait: 1d}, {sms: last}]
"""


def foresee(shop: Shop, name: str) -> Outlook:
    draft = shop.draft(name)
    ready_for_zones(shop.store)
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        return outlook(connection, ground, draft.contents)


def a_mixed_crowd(shop: Shop) -> None:
    shop.people(50)
    shop.contact("mute", consent=(), timezone="Asia/Tokyo")
    shop.contact("dead", suppressed=True, timezone="America/New_York")
    shop.contact("twin", email="p0001@example.com")


def test_the_plans_numbers_are_the_runs(any_shop: Shop) -> None:
    a_mixed_crowd(any_shop)
    any_shop.campaign("sale", SALE)
    foreseen = foresee(any_shop, "sale")
    (first,) = foreseen.first_messages[:1]
    any_shop.apply()
    any_shop.run_to("sale", "2026-12-01 20:00")
    found = counted(any_shop.sends("email.sale"))
    assert (foreseen.matches, foreseen.enters, first.reached) == (53, 53, 53)
    assert dict(first.skipped) == {"duplicate_address": 1, "no_consent": 1, "suppressed": 1}
    assert found == {
        "accepted": first.gets, "ghost": first.held, "skipped:duplicate_address": 1, "skipped:no_consent": 1,
        "skipped:suppressed": 1,
    }  # fmt: skip
    assert first.gets + first.held == 50
    assert foreseen.gets_it in any_shop.inbox
    assert foreseen.zones == 3


def test_planning_writes_nothing(shop: Shop) -> None:
    a_mixed_crowd(shop)
    shop.campaign("sale", SALE)
    foresee(shop, "sale")
    assert [shop.count(table) for table in (t.campaign, t.version, t.node, t.wave, t.enrolment, t.send)] == [0] * 6


def test_who_had_it_before_does_not_enter_and_is_counted(shop: Shop) -> None:
    shop.people(5)
    shop.campaign("sale", SALE.replace("holdout: 20%\n", ""))
    shop.apply()
    shop.run("sale", "2026-12-01 10:00")
    assert foresee(shop, "sale").not_entered == {"under_way": 5}
    shop.run("sale", "2026-12-02 10:00")
    assert foresee(shop, "sale").not_entered == {"again": 5}

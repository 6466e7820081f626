"""Budgets: who would pass it gets nothing, with the reason; what never left costs nothing."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.delivery.release import release_campaign
from carillon.foresight.hypothetical import hypothetical
from carillon.foresight.outlook import outlook
from carillon.store import tables as t
from tests.policy.test_quiet_hours import reserved
from tests.shop import Shop

COSTS = "costs: {email: 0.01, sms: {default: 0.10, DE: 0.20}}\n"
EVENT = "entry: {event: cart_updated, again: always}\njourney:\n  - email: hello\n"


def house(shop: Shop, workspace: str, **campaigns: str) -> Shop:
    shop.workspace(COSTS + workspace)
    for name, text in campaigns.items():
        shop.campaign(name, text)
    shop.apply()
    for name in ("ada", "bob", "cem"):
        shop.contact(name, phone=f"+4915112345{len(name)}{ord(name[0])}", country="DE", language="en")
    return shop


def carts(shop: Shop, at: str, *names: str) -> None:
    """Carts of these people, a minute after another."""
    shop.at(at)
    for name in names or ("ada", "bob", "cem"):
        shop.event(name, "cart_updated")


def spent(shop: Shop) -> float:
    with shop.store.read() as connection:
        return float(connection.scalar(sa.select(sa.func.sum(t.spent.c.amount_micro))) or 0) / 1e6


def test_the_house_budget_of_a_day_is_never_passed(any_shop: Shop) -> None:
    """Two cents buy two mails today, and two more tomorrow."""
    shop = house(any_shop, "budget: {per: day, amount: 0.02}\n", sale=EVENT)
    carts(shop, "2026-11-03 10:00")
    shop.run("sale")
    assert shop.inbox == ["ada", "bob"]
    assert shop.skips == {"cem": "over_budget"}
    assert spent(shop) == 0.02
    carts(shop, "2026-11-03 23:50")
    shop.run("sale")
    assert len(shop.inbox) == 2
    carts(shop, "2026-11-04 00:00")
    shop.run("sale")
    assert len(shop.inbox) == 4


def test_a_campaigns_budget_is_its_own(any_shop: Shop) -> None:
    """0.45 buys two German texts of 0.20; the other campaign has no budget."""
    text = EVENT.replace("email", "sms")
    shop = house(any_shop, "", sale="budget: {amount: 0.45}\n" + text, other=text)
    for at in ("2026-11-03 10:00", "2027-01-03 10:00"):
        carts(shop, at)
        shop.run("sale")
        shop.run("other")
    assert len(shop.texts.letters) == 2 + 6
    assert spent(shop) == 0.4


def test_what_is_released_is_given_back(any_shop: Shop) -> None:
    """Reserved, then let go: the same money is there for the next decision."""
    shop = house(any_shop, "budget: {per: month, amount: 0.03}\n", sale=EVENT)
    carts(shop, "2026-11-03 10:00")
    reserved(shop, "sale")
    assert spent(shop) == 0.03
    with shop.store.write("ledger") as connection:
        campaign_id = connection.scalar(sa.select(t.campaign.c.id))
        assert release_campaign(connection, campaign_id, note="paused") == 3
    assert spent(shop) == 0
    shop.run("sale", "2026-11-03 11:00")
    assert len(shop.inbox) == 3
    assert spent(shop) == 0.03


def test_orders_have_no_budget(shop: Shop) -> None:
    """A transactional message leaves whatever was spent, and uses none."""
    house(shop, "budget: {per: day, amount: 0}\n", order="topic: service\n" + EVENT)
    carts(shop, "2026-11-03 10:00")
    shop.run("order")
    assert len(shop.inbox) == 3
    assert spent(shop) == 0


def test_plan_shows_who_is_over_budget(shop: Shop) -> None:
    """The same Select tells beforehand."""
    house(shop, "budget: {per: month, amount: 0.02}\n", sale=EVENT)
    shop.campaign("next", "audience: everyone\nentry: {at: 2026-11-05 10:00}\njourney:\n  - email: hello\n")
    draft = shop.draft("next")
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        (first,) = outlook(connection, ground, draft.contents).first_messages
    assert (first.reached, first.gets, dict(first.skipped)) == (3, 2, {"over_budget": 1})


def test_plan_names_those_whom_the_run_pays_for(any_shop: Shop) -> None:
    """Of three who fall due at one instant two can be paid for: the same two, by their numbers, before and in the run."""
    sale = "audience: everyone\nentry: {at: 2026-11-05 10:00}\njourney:\n  - email: hello\n"
    shop = house(any_shop, "budget: {per: month, amount: 0.02}\n", sale=sale)
    draft = shop.draft("sale")
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        told = outlook(connection, ground, draft.contents)
    assert (told.gets_it, told.gets_nothing) == ("ada", ("cem", "over_budget"))
    shop.force("sale", planned=3)
    shop.run("sale", "2026-11-05 10:00")
    assert (shop.inbox, shop.skips) == (["ada", "bob"], {"cem": "over_budget"})

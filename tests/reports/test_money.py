"""Goal and money over the real way: attribution, currencies, what is measured beside, targets, and where a window opens."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa
from rich.console import Console

from carillon.definition.load import load_workspace
from carillon.definition.model import Target
from carillon.feedback.model import FeedbackKind
from carillon.journey.ground import load_ground
from carillon.kernel.problems import render
from carillon.people.ingest import ArrivedEvent, ingest_events
from carillon.reports import sentences as say
from carillon.reports.build import build_report
from carillon.reports.markdown import markdown
from carillon.reports.model import Report
from carillon.reports.page import page
from carillon.reports.terminal import show
from carillon.store import tables as t
from tests.shop import Shop

GOAL = "goal: {event: order_completed, within: 5d, value: total}\n"
PRICES = "margin: 50%\ncosts: {email: 0.50}\n"


def mail(shop: Shop, name: str, at: str, more: str = GOAL, journey: str | None = None) -> None:
    """A campaign to everybody with one mail of its name, applied."""
    steps = journey or f"journey:\n  - email: {name}\n"
    shop.campaign(name, f"audience: everyone\nentry: {{at: {at}}}\n{more}{steps}")
    shop.apply(name)


def report_of(shop: Shop, name: str) -> Report:
    shop.run(name)
    with shop.store.read() as connection:
        return build_report(connection, load_ground(shop.store, name, shop.clock.now()))


def credit(shop: Shop, name: str) -> tuple[int | None, int]:
    money = report_of(shop, name).money
    return money.attributed, money.attributed_orders


def order_in(shop: Shop, name: str, cents: int, currency: str | None) -> None:
    key = 7_000_000 + cents
    event = ArrivedEvent(shop.clock.now(), key, "order_completed", name, cents, f'{{"total":{cents}}}', currency)
    ingest_events(shop.store, [event], source="test", history=False, received_at=shop.clock.now())


def told(report: Report) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(console, report)
    return console.export_text()


def problems(shop: Shop) -> str:
    loaded = load_workspace(shop.campaigns)
    return render(loaded.errors, loaded.sources)


def test_the_last_message_clicked_is_credited_else_the_last_delivered(any_shop: Shop) -> None:
    """A click of five days beats a later delivery; without a click twelve hours count; behind both nobody is credited."""
    for name in ("ada", "ben", "cem", "dora"):
        any_shop.contact(name)
    mail(any_shop, "first", "2026-12-01 09:00")
    mail(any_shop, "second", "2026-12-02 09:00")
    any_shop.run("first", "2026-12-01 09:00")
    any_shop.click("ada", "email.first", "2026-12-01 10:00")
    any_shop.click("dora", "email.first", "2026-12-01 10:00")
    any_shop.run("second", "2026-12-02 09:00")
    for name in ("ada", "ben", "cem", "dora"):
        any_shop.report(FeedbackKind.DELIVERED, name, "email.second", "2026-12-02 09:01")
    any_shop.order("ada", "10", "2026-12-02 12:00")
    any_shop.order("ben", "20", "2026-12-02 21:01")
    any_shop.order("cem", "40", "2026-12-02 21:02")
    any_shop.order("dora", "80", "2026-12-06 10:01")
    any_shop.at("2026-12-10 09:00")
    assert credit(any_shop, "first") == (1_000, 1)
    assert credit(any_shop, "second") == (2_000, 1)


def test_a_campaign_has_its_own_times_and_an_order_is_credited_once(any_shop: Shop) -> None:
    """Ten days instead of five for one campaign; the same order told twice counts once, its refund is taken off."""
    any_shop.contact("ada")
    mail(any_shop, "sale", "2026-12-01 09:00", GOAL + "attribution: {click: 10d}\n")
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.click("ada", "email.sale", "2026-12-01 10:00")
    any_shop.order("ada", "100", "2026-12-09 10:00", order_id="1")
    any_shop.order("ada", "100", "2026-12-09 10:01", order_id="1")
    any_shop.order("ada", "-30", "2027-01-20 10:00", order_id="1")
    any_shop.order("ada", "-5", "2026-12-02 10:00", order_id="long ago")
    any_shop.at("2027-02-01 09:00")
    assert credit(any_shop, "sale") == (7_000, 1)


def test_an_orders_confirmation_is_credited_with_nothing(any_shop: Shop) -> None:
    """A transactional message that came between takes no credit, and its own report speaks of none."""
    any_shop.contact("ada")
    mail(any_shop, "sale", "2026-12-01 09:00")
    mail(any_shop, "receipt", "2026-12-01 10:00", f"topic: service\n{GOAL}")
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.click("ada", "email.sale", "2026-12-01 09:30")
    any_shop.run("receipt", "2026-12-01 10:00")
    any_shop.click("ada", "email.receipt", "2026-12-01 10:30")
    any_shop.order("ada", "10", "2026-12-01 11:00")
    any_shop.at("2026-12-01 12:00")
    assert credit(any_shop, "sale") == (1_000, 1)
    assert credit(any_shop, "receipt") == (None, 0)


def test_the_return_counts_margin_and_what_was_spent_outside(any_shop: Shop) -> None:
    """(50 % of 30.00 − (0.50 + 4.50)) / 5.00 = 2; every face says so."""
    any_shop.workspace(PRICES)
    any_shop.contact("ada")
    mail(any_shop, "sale", "2026-12-01 09:00", f"{GOAL}spend: 4.50\ntarget: {{conversions: 4, revenue: 120}}\n")
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.click("ada", "email.sale", "2026-12-01 09:30")
    any_shop.order("ada", "30", "2026-12-01 11:00")
    any_shop.at("2026-12-01 12:00")
    report = report_of(any_shop, "sale")
    assert (report.money.cost, report.money.spend, report.money.attributed_roi) == (500.0, 450.0, 2.0)
    assert report.target == Target(4, Decimal(120))
    lines = [
        "5.00 EUR, 4.50 EUR spent outside of Carillon among it",
        "ttributed to its messages: 30.00 EUR of 1 order, ROI +2.0",
        "arget: 1 of 4 conversions (25.0 %)",
        "arget: 30.00 EUR of 120.00 EUR (25.0 %)",
    ]
    for face in (told(report), page(report), markdown(report)):
        assert [line for line in lines if line not in face] == []


def test_money_of_other_currencies_counts_at_the_rates(any_shop: Shop) -> None:
    """10.01 USD at 0.925 are 9.26 EUR (halves away from nought), a refund too; a currency without a rate stays outside."""
    any_shop.workspace("rates: {USD: 0.925, JPY: 0.0061}\n")
    any_shop.contact("ada")
    mail(any_shop, "sale", "2026-12-01 09:00")
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.click("ada", "email.sale", "2026-12-01 09:30")
    any_shop.at("2026-12-01 11:00")
    for cents, currency in ((1_001, "USD"), (-1_001, "USD"), (1_000_000, "JPY"), (100, None)):
        order_in(any_shop, "ada", cents, currency)
    any_shop.at("2026-12-01 12:00")
    report = report_of(any_shop, "sale")
    assert report.totals.revenue == 926 - 926 + 6_100 + 100
    assert report.money.attributed == report.totals.revenue


def test_check_explains_rates_and_targets_that_cannot_be_meant(shop: Shop) -> None:
    """One's own currency, a rate of nothing, a target without a goal, a window that opens at a wait."""
    shop.workspace("rates: {EUR: 1, USD: 0}\n")
    shop.campaign("a", "audience: everyone\nentry: {at: 2026-12-01 09:00}\ntarget: 5\njourney: [{email: a}]\n")
    wait = "journey: [{wait: 1d, id: wait.a}, {email: b}]\n"
    shop.campaign(
        "b", "audience: everyone\nentry: {at: 2026-12-01 09:00}\n"
        "goal: {event: order_completed, from: wait.a}\ntarget: {revenue: 5}\n" + wait,
    )  # fmt: skip
    said = problems(shop)
    for sentence in (
        "EUR is our own currency: it is worth 1", "USD would be worth nothing",
        "there is no goal that it could be a target of", "the goal has no money",
        "it is kept of messages and forks only when people were there",
    ):  # fmt: skip
        assert sentence in said
    shop.workspace("")


def test_what_is_also_measured_is_told_and_decides_nothing(any_shop: Shop) -> None:
    """Two carts of one person within a day, worth 30.00; the goal's own numbers stay."""
    any_shop.contact("ada")
    any_shop.contact("ben")
    also = "also_measure: {event: cart_updated, within: 1d, value: total}\n"
    mail(any_shop, "sale", "2026-12-01 09:00", GOAL + also)
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.event("ada", "cart_updated", "2026-12-01 10:00", total="10")
    any_shop.event("ada", "cart_updated", "2026-12-01 11:00", total="20")
    any_shop.event("ben", "cart_updated", "2026-12-02 09:01", total="40")
    any_shop.at("2026-12-03 12:00")
    report = report_of(any_shop, "sale")
    (one,) = report.also
    assert (one.conversions, one.orders, one.revenue, one.against_holdout) == (1, 2, 3_000, ())
    assert (report.totals.conversions, report.totals.revenue) == (0, 0)
    sentence = "cart_updated within 1d: 1 person, 2 times for 30.00 EUR"
    assert [sentence in face for face in (told(report), page(report), markdown(report))] == [True] * 3


def test_the_holdout_is_compared_by_what_is_also_measured(any_shop: Shop) -> None:
    """Half are held; of the treated everyone fills a cart of 10.00, of the held nobody."""
    names = any_shop.people(40)
    also = "also_measure: [{event: cart_updated, within: 1d, value: total}]\nholdout: 50%\n"
    mail(any_shop, "sale", "2026-12-01 09:00", GOAL + also)
    any_shop.run("sale", "2026-12-01 09:00")
    treated = [name for name in names if name in any_shop.inbox]
    assert 5 < len(treated) < 35
    for name in treated:
        any_shop.event(name, "cart_updated", "2026-12-01 10:00", total="10")
    any_shop.at("2026-12-01 12:00")
    (one,) = report_of(any_shop, "sale").also
    by = {c.metric: (c.control_mean, c.arm_mean) for c in one.against_holdout}
    assert by == {"conversions": (0.0, 1.0), "revenue": (0.0, 1_000.0)}


TWO_MAILS = "journey:\n  - email: one\n  - wait: 3d\n  - email: two\n"


@pytest.mark.parametrize(("opens", "revenue"), [("", 1_000), (", from: two", 2_000)])
def test_a_window_opens_where_it_says(any_shop: Shop, opens: str, revenue: int) -> None:
    """Within two days of the first mail, or of the second; what was bought in between counts for the one only."""
    any_shop.contact("ada")
    goal = f"goal: {{event: order_completed, within: 2d, value: total{opens}}}\nexit_on: [{{event: cart_emptied}}]\n"
    mail(any_shop, "sale", "2026-12-01 09:00", goal, TWO_MAILS)
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.order("ada", "10", "2026-12-02 09:00")
    any_shop.run_to("sale", "2026-12-04 09:00")
    assert any_shop.inbox == ["ada", "ada"]
    any_shop.order("ada", "20", "2026-12-05 09:00")
    any_shop.at("2026-12-08 09:00")
    assert report_of(any_shop, "sale").totals.revenue == revenue


def test_who_bought_before_the_window_opened_does_not_leave(any_shop: Shop) -> None:
    """`exit_on: [goal]` means the goal as it is counted: only what happens behind its step ends the journey."""
    any_shop.contact("ada")
    goal = "goal: {event: order_completed, within: 2d, from: two}\nexit_on: [goal]\n"
    journey = f"{TWO_MAILS}  - wait: 3d\n  - email: three\n"
    mail(any_shop, "sale", "2026-12-01 09:00", goal, journey)
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.order("ada", "10", "2026-12-02 09:00")
    any_shop.run_to("sale", "2026-12-04 09:00")
    assert any_shop.inbox == ["ada", "ada"]
    any_shop.order("ada", "20", "2026-12-05 09:00")
    any_shop.run_to("sale", "2026-12-08 09:00")
    assert (any_shop.inbox, any_shop.enrolments) == (["ada", "ada"], {"ada": "goal"})


def test_held_people_are_compared_from_a_step_that_they_reach(any_shop: Shop) -> None:
    """The second mail's window is no window for the holdout, which stays at the first: both count from there."""
    names = any_shop.people(40)
    goal = "goal: {event: order_completed, within: 9d, value: total, from: two}\nholdout: 50%\n"
    mail(any_shop, "sale", "2026-12-01 09:00", goal, TWO_MAILS)
    any_shop.run("sale", "2026-12-01 09:00")
    held = [name for name in names if name not in any_shop.inbox]
    for name in held:
        any_shop.order(name, "10", "2026-12-05 10:00")
    any_shop.run_to("sale", "2026-12-06 09:00")
    holdout = report_of(any_shop, "sale").holdout
    assert holdout is not None
    assert [(arm.arm, arm.conversions) for arm in holdout.arms] == [("held", len(held)), ("treated", 0)]
    with any_shop.store.read() as connection:
        assert connection.scalar(
            sa.select(sa.func.count()).select_from(t.send).where(t.send.c.outcome == "ghost")
        ) == len(held)


def test_sentences_say_nothing_where_nothing_can_be_said(shop: Shop) -> None:
    """Without a goal nothing is attributed, and without a price the cost is unknown, not nought."""
    shop.contact("ada")
    mail(shop, "sale", "2026-12-01 09:00", "spend: 3\n")
    shop.run("sale", "2026-12-01 09:00")
    report = report_of(shop, "sale")
    assert say.attributed(report) == ""
    assert say.cost(report) == "unknown: no price in workspace.yaml (beside 3.00 EUR spent outside of Carillon)"

"""The report of a campaign over the real way: what was sent, skipped, clicked and bought."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carillon.journey.ground import load_ground
from carillon.reports.build import build_report
from carillon.reports.model import Totals
from carillon.reports.sentences import headline
from tests.shop import Shop

SALE = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
goal: {event: order_completed, within: 5d, value: total}
journey:
  - email: sale
    test: {variants: [plain, personal]}
"""


def test_the_numbers_are_those_of_the_ledger(any_shop: Shop) -> None:
    """Twenty get it, two have no consent; five click, two of them buy for 30.00 in all."""
    names = any_shop.people(20)
    for name in ("x", "y"):
        any_shop.contact(name, consent=())
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.at("2026-12-01 12:00")
    for name in names[:5]:
        any_shop.click(name, "email.sale")
    any_shop.order(names[0], total="10")
    any_shop.order(names[1], total="20")
    any_shop.run("sale", "2026-12-01 13:00")
    with any_shop.store.read() as connection:
        report = build_report(connection, load_ground(any_shop.store, "sale", any_shop.clock.now()))
    assert headline(report) == "20 messages sent; nothing has been reported back yet."
    (step,) = report.steps
    assert report.totals == Totals(sent=20, clicked=5, conversions=2, revenue=3000)
    assert (report.entered, report.under_way, report.exits) == (22, 0, {"finished": 22})
    assert (step.skipped, step.waiting, step.unsure, step.ghosts) == ({"no_consent": 2}, 0, 0, 0)
    assert step.by_variant == {"plain": Totals(sent=10, clicked=2), "personal": Totals(sent=10, clicked=3)}
    (question,) = report.questions
    assert [(a.arm, a.exposed, a.clicks, a.conversions, a.revenue.sum) for a in question.result.arms] == [
        ("plain", 10, 2, 0, 0.0),
        ("personal", 10, 3, 2, 3000.0),
    ]
    assert question.result.verdict.state == "not_yet"


@pytest.mark.parametrize(
    ("sent", "delivered", "waiting", "said"),
    [
        (0, 0, 1, "Nothing has been sent yet; 1 person waits for their hour."),
        (1, 0, 2, "1 message sent; nothing has been reported back yet. 2 people still wait for theirs."),
        (1, 1, 1, "1 message sent, 0.0 % of the delivered clicked. 1 person still waits for theirs."),
    ],
)
def test_one_is_one_in_the_sentence_that_says_how_it_went(
    shop: Shop, sent: int, delivered: int, waiting: int, said: str
) -> None:
    shop.campaign("sale", SALE)
    shop.apply()
    with shop.store.read() as connection:
        report = build_report(connection, load_ground(shop.store, "sale", shop.clock.now()))
    (step,) = report.steps
    step = replace(step, totals=Totals(sent=sent, delivered=delivered), waiting=waiting)
    report = replace(report, steps=(step,), totals=step.totals)
    assert headline(report) == said

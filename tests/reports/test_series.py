"""`series`: campaigns that belong together stand beside each other in their reports."""

from __future__ import annotations

import io

from rich.console import Console

from carillon.journey.ground import load_ground
from carillon.reports.build import build_report
from carillon.reports.markdown import markdown
from carillon.reports.page import page
from carillon.reports.terminal import show
from tests.shop import Shop

SALE = "title: {title}\nseries: sales\naudience: everyone\ngoal: {{event: order_completed, within: 5d, value: total}}\nentry: {{at: {at}}}\njourney: [{{email: {name}}}]\n"


def test_the_report_sets_a_campaign_beside_the_others_of_its_series(any_shop: Shop) -> None:
    """Spring was sent to two, one clicked and bought; what bears another name, or none, is not told."""
    shop = any_shop
    for name in ("ada", "bob"):
        shop.contact(name)
    for name, at in (("spring", "2026-11-03 09:00"), ("summer", "2026-11-10 09:00")):
        shop.campaign(name, SALE.format(title=name.title(), name=name, at=at))
    shop.campaign("other", SALE.format(title="Other", name="other", at="2026-11-03 09:00").replace("sales", "welcome"))
    shop.campaign("alone", "audience: everyone\nentry: {at: 2026-11-03 09:00}\njourney: [{email: alone}]\n")
    shop.apply()
    for name in ("spring", "other", "alone"):
        shop.run(name, "2026-11-03 09:00")
    shop.click("ada", "email.spring", "2026-11-03 10:00")
    shop.order("ada", "30", "2026-11-03 11:00")
    shop.run("summer", "2026-11-10 09:00")
    with shop.store.read() as connection:
        report = build_report(connection, load_ground(shop.store, "summer", shop.clock.now()))
        alone = build_report(connection, load_ground(shop.store, "alone", shop.clock.now()))
    (spring,) = report.siblings
    assert (report.series, spring.campaign, spring.totals.sent, spring.totals.clicked) == ("sales", "spring", 2, 1)
    assert (spring.totals.conversions, spring.totals.revenue) == (1, 3000)
    assert (alone.series, alone.siblings) == (None, ())
    console = Console(file=io.StringIO(), width=200, record=True)
    show(console, report)
    told = "Spring (spring): 2 sent"
    assert "Beside it in the series sales" in console.export_text()
    assert told in markdown(report)
    assert told in page(report)


def test_a_series_is_no_part_of_the_meaning(shop: Shop) -> None:
    shop.campaign("spring", SALE.format(title="Spring", name="spring", at="2026-11-03 09:00"))
    first = shop.apply()
    shop.campaign("spring", SALE.format(title="Spring", name="spring", at="2026-11-03 09:00").replace("sales", "all"))
    assert (first, shop.apply()) == (["new"], ["unchanged"])

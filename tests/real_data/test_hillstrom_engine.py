"""Hillstrom's 64,000 customers through the whole engine: imported, split in three as they were, written to, and judged.

The assignment is passed in from the file (`journey/assigned.py`), the outcomes come back as events, and the report says
what the reference says: of conversion and spend as its own question, of visits by asking the same people for another goal.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scipy import stats

from carillon.advance.advance import advance
from carillon.consent.standing import rules_of
from carillon.definition.model import Goal
from carillon.evaluation.collect import collect
from carillon.evaluation.compare import compare, sample_ratio
from carillon.evaluation.exposed import of_split
from carillon.evaluation.model import Comparison
from carillon.evaluation.moments import Moments
from carillon.journey.assigned import pass_in
from carillon.journey.enter import enter
from carillon.journey.ground import Ground, load_ground
from carillon.kernel.clock import HOUR, MINUTE, Micros
from carillon.kernel.durations import Span
from carillon.people.events import EventShape, event_hash
from carillon.people.fields import Reading
from carillon.people.importing import plan_import, run_import
from carillon.people.ingest import ArrivedEvent, ingest_events
from carillon.people.mapping import Source
from carillon.plan.model import SplitNode
from carillon.reports.build import build_report
from carillon.reports.model import Report
from carillon.store.migrate import open_store
from tests.real_data.test_hillstrom_statistics import FILE, METRICS, numbers, printed, rows_of_section
from tests.shop import Shop, instant

pytestmark = [
    pytest.mark.skipif(not FILE.exists(), reason="../shared/data/hillstrom.csv is not here"),
    pytest.mark.timeout(300),
]

SENT = "2026-11-03 09:00"
ARMS = {"No E-Mail": "no_email", "Mens E-Mail": "mens", "Womens E-Mail": "womens"}
TWO_WEEKS = Span(seconds=14 * 86_400)
CAMPAIGN = f"""\
topic: catalogue
goal: {{event: order_completed, within: 14d, value: total}}
audience: everyone
entry: {{at: {SENT}}}
journey:
  - split:
      no_email: {{then: []}}
      mens: {{then: {{email: mens}}}}
      womens: {{then: {{email: womens}}}}
"""
DATA = """\
contact: {recency: number, history_segment: word, history: money, mens: flag, womens: flag, zip_code: word, newbie: flag, channel: word}
events:
  visit: {}
  order_completed: {order_id: word, total: money}
"""


@dataclass
class Run:
    """The campaign after its two weeks."""

    shop: Shop
    ground: Ground
    report: Report
    sent: int


@pytest.fixture(scope="module")
def customers() -> list[dict[str, str]]:
    """The rows of the file; a customer is called by the row's number."""
    with FILE.open(newline="") as source:
        return [{"id": f"h{n}"} | row for n, row in enumerate(csv.DictReader(source), 1)]


@pytest.fixture(scope="module")
def run(customers: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All of it: import, apply, entry, assignment, hand-over, two weeks of outcomes, the last look, the report."""
    folder = tmp_path_factory.mktemp("hillstrom")
    shop = Shop(open_store(f"sqlite:///{folder / 'carillon.db'}"), folder)
    shop.write("data.yaml", DATA)
    shop.workspace("  catalogue: {kind: marketing, name: Catalogue, consent: {email: assumed}}\n")
    shop.campaign("hillstrom", CAMPAIGN)
    _import_customers(shop, customers, folder)
    assert shop.apply("hillstrom") == ["new"]
    shop.at(SENT)
    ground = load_ground(shop.store, "hillstrom", shop.clock.now())
    assert [entered.n for entered in enter(ground)] == [64_000]
    assigned = {customer["id"]: ARMS[customer["segment"]] for customer in customers}
    assert pass_in(ground, _split(ground), assigned) == 64_000
    advance(shop.engine, "hillstrom", alone=True)
    _outcomes(shop, customers, instant(SENT))
    shop.at("2026-11-18 09:00")
    advance(shop.engine, "hillstrom", alone=True)
    ground = load_ground(shop.store, "hillstrom", shop.clock.now())
    with shop.store.read() as connection:
        report = build_report(connection, ground)
    yield Run(shop, ground, report, len(shop.mail.letters))
    shop.store.close()


def _split(ground: Ground) -> str:
    return next(node.id for node in ground.applied.plan.nodes if isinstance(node, SplitNode))


def _import_customers(shop: Shop, customers: list[dict[str, str]], folder: Path) -> None:
    file = folder / "customers.csv"
    fields = ("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel")
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("id", "email", "country", *fields))
        writer.writerows((c["id"], f"{c['id']}@example.com", "US", *(c[f] for f in fields)) for c in customers)
    workspace = shop.loaded.workspace
    plan = plan_import(
        "contacts", file, Source(), data=shop.loaded.data, topics=tuple(workspace.topics), rules=rules_of(workspace),
        workspace_zone=workspace.timezone, at=shop.clock.now(),
    )  # fmt: skip
    done = run_import(shop.store, plan)
    assert (done.counts["new"], done.refused, done.left_out) == (64_000, 0, 0)


def _outcomes(shop: Shop, customers: list[dict[str, str]], sent_at: Micros) -> None:
    """Visits and orders as the shop reports them, spread over the two weeks."""
    shapes = {
        kind: EventShape(kind, shop.loaded.data.events[kind], Reading("UTC")) for kind in ("visit", "order_completed")
    }
    events = []
    for n, customer in enumerate(customers):
        at = sent_at + MINUTE + n * 330 % (13 * 24 * 60) * MINUTE
        if customer["visit"] == "1":
            events.append(_event(shapes["visit"], customer["id"], at, {}))
        if customer["conversion"] == "1":
            bought = {"order_id": f"o{n}", "total": customer["spend"]}
            events.append(_event(shapes["order_completed"], customer["id"], at + HOUR, bought))
    assert ingest_events(shop.store, events, source="track", history=False, received_at=events[-1][0]).orphans == 0


def _event(shape: EventShape, who: str, at: Micros, props: dict[str, str]) -> ArrivedEvent:
    typed = shape.read(props)
    return ArrivedEvent(
        at, event_hash(shape.kind, who, None, typed.props), shape.kind, who, typed.value_cents, typed.props
    )


def test_everybody_gets_what_the_file_says(run: Run, customers: list[dict[str, str]]) -> None:
    """21,307 and 21,387 mails, none for the empty arm; the people of an arm are those of the file."""
    assert (run.report.entered, run.sent, run.report.totals.sent) == (64_000, 42_694, 42_694)
    arms = run.report.questions[0].result.arms
    assert [(a.arm, a.exposed) for a in arms] == [("no_email", 21_306), ("mens", 21_307), ("womens", 21_387)]
    written_to = {letter.address.partition("@")[0] for letter in run.shop.mail.letters}
    assert written_to == {c["id"] for c in customers if c["segment"] != "No E-Mail"}
    assert sample_ratio([a.exposed for a in arms], [1, 1, 1]).p == pytest.approx(0.903693, abs=5e-7)


def _comparisons(run: Run) -> dict[tuple[str, str], Comparison]:
    """(arm, metric of the reference) → comparison: two of the report's own, visits asked as another goal."""
    names = {"conversions": "conversion", "revenue": "spend"}
    found = {(c.arm, names[c.metric]): c for c in run.report.questions[0].result.comparisons if c.metric in names}
    with run.shop.store.read() as connection:
        exposed = of_split(run.ground.applied.nodes[_split(run.ground)])
        control, *others = collect(
            connection, exposed, list(ARMS.values()), [], Goal("visit", TWO_WEEKS), run.ground.moment
        )
    for arm in others:
        visits = (arm.moments("conversions"), control.moments("conversions"))
        found[arm.arm, "visit"] = compare(arm.arm, visits[0], control.arm, visits[1], "conversions")
    return found


def test_the_report_says_what_the_reference_says(run: Run) -> None:
    """Every difference, interval, p and lift of section 2 to the last digit printed."""
    found = _comparisons(run)
    rows = rows_of_section(2)[:6]
    assert len(rows) == 6
    for arm, metric, control, mean, difference, interval, t, p, lift, lift_interval, _delta in rows:
        said = found[ARMS[arm], metric]
        unit = 100 if metric == "spend" else 1  # cents
        assert printed(said.control_mean / unit, control)
        assert printed(said.arm_mean / unit, mean)
        assert printed(said.difference / unit, difference)
        bounds = [said.interval.low / unit, said.interval.high / unit]
        assert bounds == pytest.approx(numbers(interval), abs=5.1e-7)
        assert printed(said.t, t)
        assert printed(said.p, p)
        assert said.lift is not None
        assert said.lift_interval is not None
        assert printed(100 * said.lift, lift)
        percents = [100 * said.lift_interval.low, 100 * said.lift_interval.high]
        assert percents == pytest.approx(numbers(lift_interval.replace("%", "")), abs=0.0101)


def test_differences_and_intervals_are_those_of_scipy_on_the_rows(run: Run, customers: list[dict[str, str]]) -> None:
    """Welch on the file's own rows, to a ten-thousandth of the value and far below."""
    found = _comparisons(run)
    for segment, arm in list(ARMS.items())[1:]:
        for metric in METRICS:
            rows = {s: [float(c[metric]) for c in customers if c["segment"] == s] for s in (segment, "No E-Mail")}
            welch = stats.ttest_ind(rows[segment], rows["No E-Mail"], equal_var=False)
            bounds = welch.confidence_interval(0.95)
            said, unit = found[arm, metric], 100 if metric == "spend" else 1
            figures = [said.difference / unit, said.interval.low / unit, said.interval.high / unit]
            means = [Moments(len(r), sum(r), 0).mean for r in rows.values()]
            assert figures == pytest.approx([means[0] - means[1], bounds.low, bounds.high], rel=1e-9)
            assert said.p == pytest.approx(welch.pvalue, rel=1e-6)

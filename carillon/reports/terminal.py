"""The report in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from carillon.evaluation.model import ArmFigures, TestResult
from carillon.kernel.clock import clock_time
from carillon.kernel.counting import people
from carillon.reports import sentences as say
from carillon.reports.model import Report


def show(console: Console, report: Report) -> None:
    """Print the report: the sentence, five numbers, tests, money, guard-rails, who got nothing and why."""
    console.print(Text(report.title, style="bold"), Text(f"({report.campaign}, {report.state})", style="dim"))
    console.print(say.headline(report))
    _freshness(console, report)
    _five(console, report)
    for question in report.questions:
        _head(console, say.title_of(question, report.zone))
        _test(console, report, question.result)
        console.print(f"  Verdict: {say.verdict_sentence(question.result, question.next_look_at, report.zone)}")
    for leader in report.leaders:
        sure = f", P(best) {leader.p_best:.2f}" if leader.p_best is not None else ""
        what = f"{leader.arm} goes to the rest" if leader.arm else "the rest is split"
        console.print(f"  Leader at {leader.step_id}: {what} ({leader.reason}{sure}); not a proof.")
    _money(console, report)
    if report.also:
        _head(console, "Also measured; it decides nothing")
    for one in report.also:
        for line in say.measured(one, report.currency):
            console.print(f"  {line}")
    if report.siblings:
        _head(console, f"Beside it in the series {report.series}")
    for sibling in report.siblings:
        console.print(f"  {say.sibling(sibling, report.currency)}")
    _head(console, "Guard-rails")
    for what, much, is_over in say.guard_rails(report.totals):
        console.print(Text(f"  {what}: {much}", style="red" if is_over else ""))
    _head(console, "Steps")
    _steps(console, report)
    _head(console, "Opens, last and small")
    hidden = say.share(report.totals.hidden_opens, report.totals.delivered)
    console.print(f"  {people(report.totals.opened)} opened; {hidden} of the delivered are hidden behind mail proxies")
    for line in say.to_do(report):
        console.print(Text(f"→ {line}", style="yellow"))


def _head(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold cyan"))


def _freshness(console: Console, report: Report) -> None:
    newest = clock_time(report.newest_feedback, report.zone) if report.newest_feedback else "none yet"
    console.print(Text(f"as of {clock_time(report.at, report.zone)} · newest feedback {newest}", style="dim"))


def _five(console: Console, report: Report) -> None:
    totals = report.totals
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("sent", "delivered", "clicked", "conversions", "revenue"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{totals.sent:,}", f"{totals.delivered:,}", f"{totals.clicked:,}", f"{totals.conversions:,}",
        say.money(totals.revenue, report.currency), style="bold",
    )  # fmt: skip
    console.print()
    console.print(table)
    left_out = "".join(f", {n:,} not ({why})" for why, n in report.not_entered.items())
    console.print(Text(f"{report.entered:,} entered{left_out}; {report.under_way:,} under way", style="dim"))


def _test(console: Console, report: Report, result: TestResult) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("arm", "people", "delivered", "clicks", "conversions", f"{report.currency}/person"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for arm in result.arms:
        table.add_row(*_arm_cells(arm))
    console.print(table)
    for against in (c for c in result.comparisons if c.metric == result.metric):
        told = (
            f"{against.arm} against {against.control} by {against.metric}: {say.difference(against, report.currency)}"
        )
        console.print(f"  {told}, lift {say.lift(against)}")
    if result.mismatch.warns:
        style = "red" if result.mismatch.blocks else "yellow"
        console.print(Text(f"  sample ratio: p = {result.mismatch.p:.2g}", style=style))


def _arm_cells(arm: ArmFigures) -> list[str]:
    counts = (arm.exposed, arm.delivered, arm.clicks, arm.conversions)
    return [arm.arm, *(f"{n:,}" for n in counts), f"{arm.revenue.mean / 100:.4f}"]


def _money(console: Console, report: Report) -> None:
    _head(console, "Money")
    money, currency = report.money, report.currency
    for line in say.targets(report):
        console.print(f"  {line}")
    console.print(f"  cost {say.cost(report)}")
    if attributed := say.attributed(report):
        console.print(f"  {attributed}")
    if report.holdout is None or money.incremental is None:
        console.print("  no holdout: what would have been bought anyway cannot be told apart")
        return
    low, high = money.incremental_low or 0.0, money.incremental_high or 0.0
    console.print(
        f"  against the holdout: {say.money(money.incremental, currency)} "
        f"[{say.money(low, currency)}, {say.money(high, currency)}]"
    )
    if roi := say.roi(report):
        console.print(f"  {roi}")
    _test(console, report, report.holdout)


def _steps(console: Console, report: Report) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("step", "sent", "unsure", "rejected", "holdout", "exited", "waiting", "skipped"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for step in report.steps:
        counts = (step.totals.sent, step.unsure, step.rejected, step.ghosts, step.exited, step.waiting)
        table.add_row(step.step_id, *(f"{n:,}" for n in counts), f"{sum(step.skipped.values()):,}")
    console.print(table)
    for step in report.steps:
        if step.skipped:
            console.print(Text(f"  {step.step_id} skipped: {_reasons(step.skipped)}", style="dim"))
    if report.exits:
        console.print(Text(f"  done: {_reasons(report.exits)}", style="dim"))


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in counts.items())

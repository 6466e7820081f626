"""The report as Markdown: what a run leaves in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterator

from carillon.kernel.clock import clock_time
from carillon.reports import sentences as say
from carillon.reports.model import Report


def markdown(report: Report) -> str:
    """The report's numbers and sentences; counts only, never a person."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    totals = report.totals
    yield f"# {report.title}"
    yield f"{say.headline(report)}\n"
    yield "| sent | delivered | clicked | conversions | revenue |"
    yield "|---:|---:|---:|---:|---:|"
    revenue = say.money(totals.revenue, report.currency)
    yield f"| {totals.sent:,} | {totals.delivered:,} | {totals.clicked:,} | {totals.conversions:,} | {revenue} |"
    yield f"\n{report.entered:,} entered, {report.under_way:,} under way; as of {clock_time(report.at, report.zone)}.\n"
    for question in report.questions:
        yield f"## {say.title_of(question, report.zone)}"
        yield "| arm | people | clicks | conversions | revenue a person |"
        yield "|---|---:|---:|---:|---:|"
        for arm in question.result.arms:
            mean = f"{arm.revenue.mean / 100:.4f}"
            yield f"| {arm.arm} | {arm.exposed:,} | {arm.clicks:,} | {arm.conversions:,} | {mean} |"
        yield f"\n**Verdict.** {say.verdict_sentence(question.result, question.next_look_at, report.zone)}\n"
    for leader in report.leaders:
        yield f"**Leader at {leader.step_id}.** {leader.arm or 'the rest is split'} ({leader.reason}); not a proof.\n"
    yield "## Money"
    for line in (*say.targets(report), f"cost {say.cost(report)}", say.attributed(report)):
        if line:
            yield f"- {line}"
    for sibling in report.siblings:
        yield f"- in the series {report.series}: {say.sibling(sibling, report.currency)}"
    for one in report.also:
        yield f"- also measured: {'; '.join(say.measured(one, report.currency))}"
    yield "\n## Steps"
    yield "| step | sent | unsure | rejected | holdout | exited | waiting | skipped |"
    yield "|---|---:|---:|---:|---:|---:|---:|---|"
    for step in report.steps:
        skipped = ", ".join(f"{why} {n:,}" for why, n in step.skipped.items()) or "–"
        yield (
            f"| {step.step_id} | {step.totals.sent:,} | {step.unsure:,} | {step.rejected:,} | {step.ghosts:,} | {step.exited:,} "
            f"| {step.waiting:,} | {skipped} |"
        )
    for line in say.to_do(report):
        yield f"\n> **Do:** {line}"

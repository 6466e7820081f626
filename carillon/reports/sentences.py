"""What a marketer would say: sentences made of the report's numbers, the same in every face."""

from __future__ import annotations

from collections.abc import Iterator

from carillon.evaluation.model import Comparison, Interval, TestResult
from carillon.kernel.clock import Micros, clock_time
from carillon.kernel.counting import counted, people, verb
from carillon.reports.model import Measured, Question, Report, Sibling, Totals

COMPLAINT_LINE = 0.003
"""Above 0.3 % complaints mailbox providers stop delivering (the bulk senders' rules of Gmail and Yahoo, 2024)."""


def headline(report: Report) -> str:
    """One sentence that says how it went."""
    totals = report.totals
    if totals.sent == 0:
        waiting = f"; {_people(report.waiting)} for their hour" if report.waiting else ""
        return f"Nothing has been sent yet{waiting}."
    still = f" {_people(report.waiting, 'still ')} for theirs." if report.waiting else ""
    sent = f"{counted(totals.sent, 'message')} sent"
    if totals.delivered == 0:
        return f"{sent}; nothing has been reported back yet.{still}"
    people = f"{sent}, {share(totals.clicked, totals.delivered)} of the delivered clicked"
    earned = (
        f", {totals.conversions:,} bought for {money(totals.revenue, report.currency)}" if totals.conversions else ""
    )
    return f"{people}{earned}.{still}"


def _people(n: int, still: str = "") -> str:
    return f"{people(n)} {still}{verb(n, 'wait')}"


def verdict_sentence(result: TestResult, next_look_at: Micros | None, zone: str) -> str:
    """What the planned looks prove, in words; never more."""
    verdict = result.verdict
    later = f"; the next look is {clock_time(next_look_at, zone)}" if next_look_at else ""
    match verdict.state:
        case "proven":
            word = "better" if verdict.is_better else "worse"
            return (
                f"Proven at look {verdict.look}: {verdict.arm} is {word} than {result.arms[0].arm} by {result.metric}."
            )
        case "no_material_difference":
            return f"No material difference by {result.metric}: the interval lies within ±5 %."
        case "not_proven":
            reason = f" ({verdict.reason})" if verdict.reason else ""
            return f"Not proven: the planned looks are over and do not tell the variants apart{reason}."
        case "invalid":
            return f"Invalid: {verdict.reason}. Nothing may be concluded."
        case _:
            reason = f" ({verdict.reason})" if verdict.reason else ""
            return f"Not yet{reason}{later}."


def difference(comparison: Comparison, currency: str) -> str:
    """A difference with its interval, in the metric's unit."""
    if comparison.metric == "revenue":
        return (
            f"{comparison.difference / 100:+.4f} {currency} a person "
            f"[{comparison.interval.low / 100:+.4f}, {comparison.interval.high / 100:+.4f}]"
        )
    low, high = comparison.interval.low, comparison.interval.high
    return f"{comparison.difference * 100:+.2f} points [{low * 100:+.2f}, {high * 100:+.2f}]"


def lift(comparison: Comparison) -> str:
    """The relative lift with its interval, or a dash where the control has nothing to grow from."""
    interval: Interval | None = comparison.lift_interval
    if comparison.lift is None or interval is None:
        return "–"
    return f"{comparison.lift * 100:+.1f} % [{interval.low * 100:+.1f}, {interval.high * 100:+.1f}]"


def roi(report: Report) -> str:
    """The return on what was spent, with its interval; empty where it cannot be said."""
    what = report.money
    if what.roi is None or what.roi_low is None or what.roi_high is None:
        return ""
    unsure = "; a loss is not excluded" if what.roi > 0 > what.roi_low else ""
    return f"ROI {what.roi:+.1f} [{what.roi_low:+.1f}, {what.roi_high:+.1f}]{unsure}"


def cost(report: Report) -> str:
    """What it cost, and how much of that outside."""
    what = report.money
    outside = f"{money(what.spend, report.currency)} spent outside of Carillon" if what.spend else ""
    if what.cost is None:
        return f"unknown: no price in workspace.yaml{' (beside ' + outside + ')' if outside else ''}"
    return money(what.cost, report.currency) + (f", {outside} among it" if outside else "")


def attributed(report: Report) -> str:
    """What the last message before an order is credited with; empty where there is no goal. Never called earned."""
    what = report.money
    if what.attributed is None:
        return ""
    orders = counted(what.attributed_orders, "order")
    back = f", ROI {what.attributed_roi:+.1f}" if what.attributed_roi is not None else ""
    return f"attributed to its messages: {money(what.attributed, report.currency)} of {orders}{back}"


def targets(report: Report) -> Iterator[str]:
    """How far the campaign is from what the marketer aims at."""
    aim = report.target
    if aim is not None and aim.conversions is not None:
        reached = share(report.totals.conversions, aim.conversions)
        yield f"target: {report.totals.conversions:,} of {aim.conversions:,} conversions ({reached})"
    if aim is not None and aim.revenue is not None:
        cents = round(aim.revenue * 100)
        reached = share(report.totals.revenue, cents)
        yield (
            f"target: {money(report.totals.revenue, report.currency)} of {money(cents, report.currency)} ({reached})"
        )


def measured(one: Measured, currency: str) -> Iterator[str]:
    """A further goal: what happened, and what of it the holdout does not show."""
    worth = f" for {money(one.revenue, currency)}" if one.revenue else ""
    yield f"{one.event} within {one.within}: {people(one.conversions)}, {counted(one.orders, 'time')}{worth}"
    for comparison in one.against_holdout:
        if comparison.metric == "conversions" or one.revenue:
            yield f"against the holdout by {comparison.metric}: {difference(comparison, currency)}"


def guard_rails(totals: Totals) -> Iterator[tuple[str, str, bool]]:
    """(what, how much, is it beyond its line)."""
    yield "left the topic", share(totals.unsubscribed, totals.delivered), False
    complaints = totals.complained / totals.delivered if totals.delivered else 0.0
    yield "complaints", f"{share(totals.complained, totals.delivered)} (line: 0.3 %)", complaints > COMPLAINT_LINE
    yield "bounces", share(totals.bounced, totals.sent), bool(totals.sent) and totals.bounced / totals.sent > 0.05


def to_do(report: Report) -> Iterator[str]:
    """What a person should do now."""
    if report.unsure:
        yield f"{report.unsure:,} hand-overs are unsure: carillon unsure"
    for what, much, is_over in guard_rails(report.totals):
        if is_over:
            yield f"{what} stand at {much}: pause and look at the audience"
    for question in report.questions:
        if question.result.mismatch.blocks:
            yield f"{question.step_id}: the arms do not have the sizes assigned; find out why before reading the test"
    if report.totals.sent and report.newest_feedback is None:
        yield "no feedback has come back: is the webhook set up?"


def share(part: int, whole: int) -> str:
    """`4.2 %`, or a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def money(cents: float, currency: str) -> str:
    """`1,234.50 EUR`."""
    return f"{cents / 100:,.2f} {currency}"


def title_of(question: Question, zone: str) -> str:
    """The heading of a test; of one that began anew, until when it was asked with those words."""
    if question.ended_at is None:
        return f"Test at {question.step_id}"
    return f"Test at {question.step_id} until {clock_time(question.ended_at, zone)}, before its words were changed"


def sibling(one: Sibling, currency: str) -> str:
    """Another campaign of the series in its five numbers."""
    its = one.totals
    clicked = f"{share(its.clicked, its.delivered)} of the delivered clicked"
    return f"{one.title} ({one.campaign}): {its.sent:,} sent, {clicked}, {its.conversions:,} bought for {money(its.revenue, currency)}"

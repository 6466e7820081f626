"""The plan screen in a terminal: one screen, in the order in which a careful person asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from carillon.definition.entries import At, ByApi, Cron, Every, OnDate, OnEvent, OnSegment, Rrule
from carillon.evaluation.sizes import detectable_text
from carillon.foresight.draft import Draft
from carillon.foresight.outlook import FirstMessage, Outlook
from carillon.foresight.supplies import coupon_lines, low_supplies
from carillon.foresight.worked import WorkedWait
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros, clock_time, from_micros
from carillon.kernel.counting import counted, people, verb
from carillon.plan.model import Plan, PlanEntry, arms_of
from carillon.plan.rules import Rules

USUAL_CLICK_RATE = 0.025
"""What the test's power is reckoned with where the workspace has no history: said beside the number."""


LATER = {
    "quiet_hours": "it is within their quiet hours",
    "blackout": "it is within a blackout",
    "cap": "they have had enough for now, and wait",
}


NOT_ENTERED = {
    "under_way": "are under way in it already",
    "again": "had it before",
    "late": "it would come too late for",
    "present": "are in the segment already, and stay out",
}


def show(console: Console, draft: Draft, outlook: Outlook, next_of_applied: str | None = None) -> None:
    """Print the plan screen; `next_of_applied` is what comes next where nothing is left to apply."""
    zone = ZoneInfo(draft.rules.timezone)
    series = "" if draft.plan.series is None else f", of the series {draft.plan.series}"
    console.print(Text(f"Plan of {outlook.title}", style="bold"), Text(f"({outlook.campaign}{series})", style="dim"))
    newest = clock_time(outlook.newest_event, zone.key) if outlook.newest_event else "no event yet"
    console.print(Text(f"as of {clock_time(outlook.at, zone.key)} · newest event {newest}", style="dim"))
    for title, lines in sections(draft, outlook, next_of_applied):
        console.print()
        console.print(Text(title, style="bold cyan"))
        console.print(Padding(Group(*lines), (0, 0, 0, 2)))


def sections(
    draft: Draft, outlook: Outlook, next_of_applied: str | None = None
) -> Iterator[tuple[str, list[Text | Table]]]:
    """Title and lines of each part of the screen."""
    yield "Who", _who(draft.plan, outlook)
    for first in outlook.first_messages:
        yield f"Who gets {first.label}", _left_out(first)
    yield "When", _when(draft, outlook)
    yield "What", _what(draft)
    if any(n.test for n in draft.plan.messages):
        yield "What the test can prove", _power(draft, outlook)
    yield "Cost", _cost(draft, outlook)
    if outlook.supplies:
        yield "Coupons", [Text(line) for line in coupon_lines(draft.rules, outlook)]
    if outlook.under_way:
        yield "People under way", _under_way(outlook, draft.plan.keeps_texts)
    yield "For example", _examples(outlook)
    warnings = list(_warnings(draft, outlook))
    if warnings:
        yield "Look at this", [Text(f"! {w}", style="yellow") for w in warnings]
    if blockers := list(blocking(draft, outlook)):
        yield "Not yet", [Text(f"✗ {b}", style="red") for b in blockers]
    else:
        yield "Next", [Text(next_of_applied or f"carillon apply {outlook.campaign}"), *_yes(outlook)]


def blocking(draft: Draft, outlook: Outlook, *, restarts: bool = False) -> Iterator[str]:
    """What forbids applying this campaign, with the number of people concerned; `restarts`: its tests may begin anew."""
    for problem in draft.errors:
        yield f"{problem.position.file}:{problem.position.line}  {problem.message}"
    yield from outlook.objections
    for test in outlook.tests:
        if test.is_running and not restarts:
            yield f"{test.sentence}; put them back, or begin anew with `carillon apply {outlook.campaign} --restart-test`"
    for first in outlook.first_messages:
        for path, n in first.lacking.items():
            yield f"{first.label} names {path} without a default, and {people(n)} {verb(n, 'have')} none"
        missing = {
            language
            for message, channel, language in draft.contents.missing
            if channel == first.channel and (first.is_one_of_several or first.step_id.endswith(message))
        }
        n = first.skipped.get("no_translation", 0)
        if n:
            yield f"{first.label} is not written in {', '.join(sorted(missing))}: {people(n)} would get nothing"
    expect = draft.plan.expect
    if expect is not None and outlook.is_wave_ahead and not expect.fits(outlook.planned):
        yield f"{people(outlook.planned)} would enter, {expect} are expected (expect: in campaign.yaml)"


def _who(plan: Plan, outlook: Outlook) -> list[Text | Table]:
    by_date = any(isinstance(entry, OnDate) for entry in plan.entries)
    by_event = any(isinstance(entry, OnEvent) for entry in plan.entries)
    when = " by their events of the last 30 days" if by_event else " on a day of the next 30" if by_date else ""
    table = _numbers()
    table.add_row(f"{outlook.contacts:,}", "contact" if outlook.contacts == 1 else "contacts")
    top = f", the first {plan.top.count:,} by {plan.top.by}" if plan.top is not None else ""
    table.add_row(f"{outlook.matches:,}", f"match the audience{top}{when}")
    for reason, n in outlook.not_entered.items():
        table.add_row(f"− {n:,}", NOT_ENTERED.get(reason, f"{reason} came first"))
    expected = f" ({plan.expect} are expected)" if plan.expect is not None and outlook.is_wave_ahead else ""
    table.add_row(f"{outlook.enters:,}", f"enter{expected}", style="bold")
    return [table, *(Text(answer.sentence, style="dim") for answer in outlook.analysts)]


def _left_out(first: FirstMessage) -> list[Text | Table]:
    table = _numbers()
    table.add_row(f"{first.reached:,}", "reach it")
    for reason, n in first.skipped.items():
        table.add_row(f"− {n:,}", reason)
    if first.held:
        table.add_row(f"− {first.held:,}", "holdout (watched, not written to)")
    table.add_row(f"{first.gets:,}", "get it", style="bold")
    lines: list[Text | Table] = [table]
    lines += [Text(f"{n:,} of them later: {LATER[reason]}") for reason, n in first.later.items()]
    for what, counts in (("languages", first.languages), ("countries", first.countries)):
        if counts:
            lines.append(Text(f"{what}: " + ", ".join(f"{k} {n:,}" for k, n in list(counts.items())[:8]), style="dim"))
    return lines


def _when(draft: Draft, outlook: Outlook) -> list[Text | Table]:
    zone = ZoneInfo(draft.rules.timezone)
    lines: list[Text | Table] = [Text(entry_sentence(e)) for e in draft.plan.entries]
    for word, instant in (("before", draft.plan.starts), ("after", draft.plan.ends)):
        if instant is not None:
            lines.append(Text(f"nobody enters {word} {instant:%a %d %b %Y %H:%M}"))
    if outlook.first_due is not None and outlook.last_due is not None and not outlook.is_by_event:
        span = f"first {clock_time(outlook.first_due, zone.key)}, last {clock_time(outlook.last_due, zone.key)}"
        lines.append(Text(f"{span}, {counted(outlook.zones, 'time zone')}"))
    lines += [Text(pace_sentence(first, draft.rules, zone)) for first in outlook.first_messages if first.pace]
    for node in draft.plan.messages:
        if node.at_best_time:
            lines.append(Text(f"{node.id}: at the hour at which each contact answers, within a day of falling due"))
    for node in draft.plan.messages:
        if node.test and node.test.send_leader:
            leader = node.test.send_leader
            rest = f"at {leader.rest:%H:%M} on each contact's clock" if leader.rest else "as soon as it is decided"
            share = f"{leader.sample / 100:g} %" if leader.sample else "a sample of fitting size"
            lines.append(
                Text(
                    f"{node.id}: {share} first; after {leader.after} the leader by {leader.by} goes to the rest {rest}"
                )
            )
    lines += [Text(f"for example {_worked(wait)}", style="dim") for wait in outlook.waits]
    return lines


def _worked(wait: WorkedWait) -> str:
    zone = ZoneInfo(wait.timezone)
    who = f"{wait.contact} comes" if wait.contact else "who comes"
    return f"{wait.step_id}: {who} on {clock_time(wait.arrives, zone.key)} goes on {clock_time(wait.goes_on, zone.key)}"


def pace_sentence(first: FirstMessage, rules: Rules, zone: ZoneInfo) -> str:
    """When the first and the last of a paced hand-over leave."""
    its, ahead = rules.limits.pace[Channel(first.channel)], first.pace
    assert ahead is not None
    unit = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}[its.per_s]
    grows = f", {its.grow:g} times more each day" if its.grow is not None else ""
    told = f"{first.label} at {its.n:,} a {unit}{grows}: the first leaves {clock_time(ahead.first, zone.key)}, "
    told += "the last not within a year" if ahead.last is None else f"the last {clock_time(ahead.last, zone.key)}"
    return told + (f"; {ahead.ahead:,} who are ready already go first" if ahead.ahead else "")


def entry_sentence(entry: PlanEntry) -> str:
    """An entry as a sentence."""
    match entry:
        case At(at=at, zone=zone):
            return f"once, {at:%a %d %b %Y %H:%M} " + (
                "on each contact's clock" if zone == "contact" else "(workspace)"
            )
        case Every(on=on, at=at, zone=zone):
            days = "month, on the first," if on == "month" else "day" if len(on) == 7 else " and ".join(on)
            return f"every {days} at {at:%H:%M} " + ("on each contact's clock" if zone == "contact" else "(workspace)")
        case Cron(cron=text, zone=zone) | Rrule(rrule=text, zone=zone):
            return f"by {entry.kind} {text} " + ("on each contact's clock" if zone == "contact" else "(workspace)")
        case OnSegment():
            return _segment_sentence(entry)
        case OnDate():
            return _date_sentence(entry)
        case OnEvent(event=event, again=again, idle=idle):
            if entry.topic is not None:
                event = f"a subscription to {entry.topic}"
            quiet = "" if idle is None else f" and nothing more of it for {idle}"
            return f"when {event} happens{quiet}{_collected(entry)}" + (
                "; each contact at most once, ever" if again == "never" else ""
            )
        case ByApi():
            return "when the shop calls (carillon enter, POST /v1/enter)"


def _collected(entry: OnEvent) -> str:
    if (collect := entry.collect) is None:
        return ""
    over = "" if collect.longest is None else f", {collect.longest} from the first at most"
    most = "all" if collect.most is None else f"the newest {collect.most}"
    differ = "" if collect.of is None else f" that differ in {collect.of}"
    return f"{over}; {most}{differ} are collected into one enrolment"


def _segment_sentence(entry: OnSegment) -> str:
    existing = ""
    if entry.existing:
        existing = "; those who are in it enter" + (f", {entry.existing_a_day:,} a day" if entry.existing_a_day else "")
    once = "; each contact at most once, ever" if entry.again == "never" else ""
    return f"when somebody {entry.way} {entry.segment}{existing}{once}"


def _date_sentence(entry: OnDate) -> str:
    days = entry.offset.seconds or entry.offset.months
    side = "" if not days else f"{-entry.offset} before " if days < 0 else f"{entry.offset} after "
    yearly = ", every year" if entry.yearly else ", once"
    clock = "on each contact's clock" if entry.zone == "contact" else "(workspace)"
    return f"{side}{entry.field}{yearly}, at {entry.at:%H:%M} {clock}"


def _what(draft: Draft) -> list[Text | Table]:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for column in ("step", "variants", *draft.rules.languages):
        table.add_column(column)
    for node in draft.plan.ways:
        arms = arms_of(node)
        marks = [
            "✓" if all((node.id, arm, str(node.channel), language) in draft.contents.compiled for arm in arms) else "–"
            for language in draft.rules.languages
        ]
        if node.is_ours:  # one of ours reads it: one language suffices
            marks[1:] = [""] * (len(marks) - 1)
        name = f"{node.id} by {node.channel}" if node.others or node.behind else node.id
        table.add_row(name, ", ".join(a for a in arms if a) or "–", *marks)
    return [table]


def _power(draft: Draft, outlook: Outlook) -> list[Text | Table]:
    lines: list[Text | Table] = []
    for first in outlook.first_messages:
        node = next(n for n in draft.plan.messages if n.id == first.step_id)
        if node.test is None:
            continue
        arms = len(node.test.variants)
        leader = node.test.send_leader
        tested = first.gets if leader is None else first.gets * (leader.sample or 2000) // 10_000
        per_arm = tested // arms
        text = detectable_text(USUAL_CLICK_RATE, per_arm, per_arm, "clicks") if per_arm > 1 else "too few to tell"
        lines.append(Text(f"{first.step_id}: about {people(per_arm)} a variant; {text} (forecast, at 2.5 % clicks)"))
    return lines


def _cost(draft: Draft, outlook: Outlook) -> list[Text | Table]:
    lines: list[Text | Table] = []
    for first in outlook.first_messages:
        cost = "no price in workspace.yaml" if first.cost is None else f"{first.cost:,.2f} {draft.rules.currency}"
        lines.append(Text(f"{first.label}: {cost}"))
    if draft.plan.spend:
        lines.append(Text(f"spent outside of Carillon: {draft.plan.spend:,.2f} {draft.rules.currency}"))
    if len(draft.plan.ways) > len(outlook.first_messages):
        lines.append(Text("later messages depend on what people do", style="dim"))
    return lines


def _under_way(outlook: Outlook, keeps_texts: bool) -> list[Text | Table]:
    table = _numbers()
    for step, n in outlook.under_way.items():
        table.add_row(f"{n:,}", f"{verb(n, 'stand')} at {step}: they finish on the version that they entered")
    texts = "those that stood when they entered" if keeps_texts else "the newest"
    return [table, Text(f"texts: {texts}", style="dim")]


def _examples(outlook: Outlook) -> list[Text | Table]:
    lines: list[Text | Table] = []
    if outlook.gets_it:
        lines.append(Text(f"{outlook.gets_it} gets it"))
    if outlook.gets_nothing:
        lines.append(Text(f"{outlook.gets_nothing[0]} gets nothing: {outlook.gets_nothing[1]}"))
    return lines or [Text("nobody would enter now", style="dim")]


def _yes(outlook: Outlook) -> Iterator[Text]:
    """Whose yes is awaited before anything leaves, and how it is given."""
    for sentence in outlook.awaits:
        yield Text(f"{sentence}: nothing leaves before")
    if outlook.awaits:
        yield Text(f"carillon approve {outlook.campaign}, or the deployment `approve_campaign` in the Prefect UI")


def _warnings(draft: Draft, outlook: Outlook) -> Iterator[str]:
    if outlook.contacts == 0:
        yield "there are no contacts yet: carillon import contacts FILE"
    elif outlook.matches == 0 and not outlook.is_by_event:
        yield "nobody matches the audience"
    yield from (test.sentence for test in outlook.tests if not test.is_running)
    yield from low_supplies(outlook)
    for problem in draft.contents.problems:
        if problem.severity == "warning":
            yield f"{problem.position.file}:{problem.position.line}  {problem.message}"


def as_json(draft: Draft, outlook: Outlook) -> dict[str, object]:
    """The screen's numbers for machines."""
    return {
        "campaign": outlook.campaign,
        "at": from_micros(outlook.at).isoformat(),
        "contacts": outlook.contacts,
        "matches": outlook.matches,
        "not_entered": dict(outlook.not_entered),
        "enters": outlook.enters,
        "expected": None if draft.plan.expect is None else [draft.plan.expect.low, draft.plan.expect.high],
        "awaits": list(outlook.awaits),
        "first_due": _iso(outlook.first_due),
        "last_due": _iso(outlook.last_due),
        "messages": [_message_json(f) for f in outlook.first_messages],
        "waits": [
            {"step": w.step_id, "arrives": _iso(w.arrives), "goes_on": _iso(w.goes_on), "timezone": w.timezone}
            for w in outlook.waits
        ],
        "coupons": [{"pool": s.pool, "left": s.left, "low": s.low} for s in outlook.supplies],
        "under_way": dict(outlook.under_way),
        "blocking": list(blocking(draft, outlook)),
        "warnings": list(_warnings(draft, outlook)),
    }


def _message_json(first: FirstMessage) -> Mapping[str, object]:
    return {
        "step": first.step_id,
        "channel": first.channel,
        "reached": first.reached,
        "gets": first.gets,
        "holdout": first.held,
        "skipped": dict(first.skipped),
        "later": dict(first.later),
        "languages": dict(first.languages),
        "countries": dict(first.countries),
        "cost": first.cost,
        "lacking": dict(first.lacking),
        "first_leaves": _iso(first.pace.first) if first.pace else None,
        "last_leaves": _iso(first.pace.last) if first.pace else None,
    }


def _numbers() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    return table


def _iso(at: Micros | None) -> str | None:
    return None if at is None else from_micros(at).isoformat()

"""Whether an entry would take one contact in, and why not: asked with the Select that it takes people in with."""

from __future__ import annotations

from typing import assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import (
    At,
    ByApi,
    Cron,
    Every,
    OnDate,
    OnEvent,
    OnSegment,
    PlanEntry,
    Rrule,
    Scheduled,
    entry_key,
)
from carillon.journey.forecast import would_enter
from carillon.journey.ground import Ground
from carillon.journey.members import PRESENT
from carillon.journey.occasions import next_occasion_of, occasions
from carillon.journey.take_in import NOT_STARTED, OVER, not_entered, out_of_season
from carillon.kernel.clock import from_micros
from carillon.store import tables as t

WHY_NOT = {
    "under_way": "under way in it already",
    "again": "had it before",
    "late": "it would come too late",
    NOT_STARTED: "the campaign has not started",
    OVER: "the campaign is over",
    PRESENT: "in the segment already",
}


def explain_entry(connection: Connection, ground: Ground, entry: PlanEntry, contact_id: int) -> str:
    """Yes or no, when, and why not."""
    if ground.applied.wanted_state != "live":
        return f"no: the campaign is {ground.applied.wanted_state}"
    if (ripening := _ripening(connection, ground, entry, contact_id)) is not None:
        return ripening
    if not isinstance(entry, Scheduled) and (closed := out_of_season(ground)) is not None:
        return f"no: {WHY_NOT[closed]}"
    when = _when(ground, entry)
    if when is None:
        return "no: it has no occurrence any more"
    people = would_enter(ground, entry).subquery("candidate")
    reason = not_entered(ground, entry.again, people).label("reason")
    reasons = list(connection.scalars(sa.select(reason).where(people.c.contact_id == contact_id)))
    if not reasons:
        return f"no: {_nobody(ground, entry)}"
    if None in reasons:
        return f"yes{when}"
    return f"no: {WHY_NOT.get(reasons[0], f'{reasons[0]} came first')}"


def _when(ground: Ground, entry: PlanEntry) -> str | None:
    match entry:
        case At() | Every() | Cron() | Rrule():
            return _when_scheduled(ground, entry)
        case OnDate():
            return ", its day comes in the next 30"
        case OnEvent():
            return f", by what happened in the {entry.event} events of the last 30 days"
        case OnSegment(way="joins", existing=True):
            return ", as one of those who are in it"
        case OnSegment():
            return ""
        case ByApi():
            return ", once it is called"
        case _:
            assert_never(entry)


def _when_scheduled(ground: Ground, entry: Scheduled) -> str | None:
    if (ahead := next_occasion_of(ground, entry)) is not None:
        return f" at {from_micros(ahead.at):%Y-%m-%d %H:%M} UTC"
    return ", its last occurrence is over" if next(iter(occasions(ground, entry)), None) else None


def _nobody(ground: Ground, entry: PlanEntry) -> str:
    if (top := ground.applied.plan.top) is not None:
        return f"not in the audience, or not among the first {top.count:,} of it by {top.by}"
    if isinstance(entry, OnSegment):
        return f"not in {entry.segment}, or not in the audience" + (", yet" if entry.way == "joins" else "")
    if isinstance(entry, OnDate):
        return f"no such day of {entry.field} in the next 30, or not in the audience"
    return "no such event fits, or the audience does not" if isinstance(entry, OnEvent) else "not in the audience"


def _ripening(connection: Connection, ground: Ground, entry: PlanEntry, contact_id: int) -> str | None:
    """What is written down of a thing of this contact that is not ripe yet."""
    r = t.ripening.c
    row = connection.execute(
        sa.select(r.thing, r.last_at, r.ripe_at)
        .where(r.campaign_id == ground.applied.id, r.entry == entry_key(entry), r.contact_id == contact_id)
        .order_by(r.ripe_at)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    thing = f" ({row.thing})" if row.thing else ""
    unless = "" if isinstance(entry, OnEvent) and entry.idle is None else ", unless something more happens"
    return (
        f"not yet{thing}: it is asked at {from_micros(row.ripe_at):%Y-%m-%d %H:%M} UTC"
        f"{unless}; the last was at {from_micros(row.last_at):%Y-%m-%d %H:%M}"
    )

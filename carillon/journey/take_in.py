"""The end of every entry: one wave and its enrolments in one transaction, and a reason for each who does not enter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Again, PlanEntry, Scheduled, entry_key
from carillon.experiment.holdout import role_of
from carillon.journey.everybody import IN_ORDER
from carillon.journey.ground import Ground
from carillon.journey.stand import Arriving, stand_at
from carillon.kernel.clock import Micros
from carillon.kernel.time.calendar import add_span, utc_to_local
from carillon.store import tables as t
from carillon.store.engine import rowcount

UNDER_WAY, AGAIN, LATE = "under_way", "again", "late"
"""Why somebody who matched did not enter. An exit that came first is told by its own code."""

NOT_STARTED, OVER = "not_started", "over"
"""Why nobody enters at all: the campaign's `starts` is ahead of us, or its `ends` behind us."""

KEPT_OUT = "kept_out"
"""The column of candidates that says why somebody does not enter."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What one occurrence of an entry did."""

    entry: str
    ref: str
    n: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Wave:
    """One occurrence of an entry; entry and ref are its key."""

    entry: PlanEntry
    ref: str
    at: Micros
    """Its snapshot: when its people enter."""


def take_in(connection: Connection, ground: Ground, wave: Wave, people: Iterable[sa.Select[Any]]) -> Entered:
    """Make the wave and its enrolments, in a transaction on the ledger.

    `people` as `everybody` yields them, of each contact and thing one, in one Select or in parts; where needed with a
    column `kept_out`: why somebody does not enter, else NULL.
    """
    # Where nobody's past can count: spare the question a person, and the second look at the people.
    has_past = _has_past(connection, ground, wave.entry.again)
    closed = None if isinstance(wave.entry, Scheduled) else out_of_season(ground)
    wave_id: int = connection.execute(
        t.wave.insert().values(
            campaign_id=ground.applied.id,
            entry=entry_key(wave.entry),
            ref=wave.ref,
            snapshot_at=wave.at,
            n=0,
            left_out={},
        )
    ).inserted_primary_key[0]  # type: ignore[index]
    n, left_out = 0, Counter[str]()
    for part in people:
        p = part.subquery("candidate")
        reason = not_entered(ground, wave.entry.again, p) if has_past else _kept_out(p)
        if closed is not None:
            reason = sa.literal(closed)
        if KEPT_OUT in p.c or has_past or closed:
            left_out.update(_left_out(connection, p, reason))
        order = [] if part.get_execution_options().keys() >= IN_ORDER.keys() else [p.c.contact_id]
        n += _enrol(connection, ground, wave, wave_id, p, reason, order)
    connection.execute(t.wave.update().where(t.wave.c.id == wave_id).values(n=n, left_out=left_out))
    return Entered(entry_key(wave.entry), wave.ref, n, left_out)


def _enrol(
    connection: Connection, ground: Ground, wave: Wave, wave_id: int, p: sa.Subquery, reason: sa.ColumnElement[Any],
    order: Sequence[sa.ColumnElement[Any]],
) -> int:  # fmt: skip
    """Enrol those whom no reason keeps out, in this order; how many they are."""
    applied, plan = ground.applied, ground.applied.plan
    role = role_of(applied.seed, plan, ground.rules.holdout, p.c.h31)
    stand = stand_at(
        ground,
        plan,
        plan.first,
        Arriving(p.c.arrived_at, p.c.zone, p.c.h31, sa.literal(wave_id, sa.BigInteger()), p.c.contact_id),
    )
    rows: Sequence[tuple[str, Any]] = (
        ("campaign_id", sa.literal(applied.id)), ("version_id", sa.literal(applied.live_version)),
        ("wave_id", sa.literal(wave_id)), ("contact_id", p.c.contact_id), ("thing", p.c.thing), ("role", role),
        ("node_id", stand.node_id), ("arrived_at", p.c.arrived_at), ("due_at", stand.due_at),
        ("entered_at", sa.literal(wave.at, sa.BigInteger())), ("trigger_at", p.c.trigger_at),
        ("trigger_hash", p.c.trigger_hash),
        ("collected_from", p.c.collected_from if "collected_from" in p.c else sa.cast(sa.null(), sa.BigInteger())),
    )  # fmt: skip
    taken = sa.select(*(column.label(name) for name, column in rows)).where(reason.is_(None)).order_by(*order)
    return rowcount(connection.execute(t.enrolment.insert().from_select([name for name, _ in rows], taken)))


def out_of_season(ground: Ground) -> str | None:
    """Why nobody who comes now may enter, by `starts` and `ends` on the workspace's clock; None where they may.

    What is scheduled has a clock time of its own, which its occasions compare.
    """
    plan, local = ground.applied.plan, utc_to_local(ground.rules.timezone, ground.now)
    if plan.starts is not None and local < plan.starts:
        return NOT_STARTED
    return OVER if plan.ends is not None and local > plan.ends else None


def is_taken(connection: Connection, ground: Ground, entry: PlanEntry, ref: str) -> bool:
    """Whether this occurrence has been: its wave stands."""
    w = t.wave.c
    mine = sa.and_(w.campaign_id == ground.applied.id, w.entry == entry_key(entry), w.ref == ref)
    return connection.scalar(sa.select(w.id).where(mine)) is not None


def _has_past(connection: Connection, ground: Ground, again: Again) -> bool:
    """Whether anybody's past in this campaign can keep them out: where all may come again, only of who is under way."""
    e = t.enrolment.c
    counts = e.state == "live" if again == "always" else sa.true()
    return connection.scalar(sa.select(e.id).where(e.campaign_id == ground.applied.id, counts).limit(1)) is not None


def _left_out(connection: Connection, people: sa.Subquery, reason: sa.ColumnElement[Any]) -> dict[str, int]:
    rows = connection.execute(
        sa.select(reason, sa.func.count()).select_from(people).where(reason.is_not(None)).group_by(reason)
    )
    return {why: int(n) for why, n in rows}


def not_entered(ground: Ground, again: Again, people: sa.Subquery) -> sa.ColumnElement[Any]:
    """Why a candidate does not enter, or NULL: kept out, under way for the same thing, or not allowed again yet."""
    e = t.enrolment.c
    mine = sa.select(e.id).where(e.campaign_id == ground.applied.id, e.contact_id == people.c.contact_id)
    same_thing = mine.where(e.thing == people.c.thing)
    rules: list[tuple[sa.ColumnElement[bool], str]] = [(sa.exists(same_thing.where(e.state == "live")), UNDER_WAY)]
    match again:
        case "always":
            pass
        case "never":
            rules.append((sa.exists(mine), AGAIN))
        case "once_a_thing":
            rules.append((sa.exists(same_thing), AGAIN))
        case _:
            since = add_span(ground.rules.timezone, ground.now, seconds=-again.seconds, months=-again.months)
            rules.append((sa.exists(mine.where(e.entered_at > since)), AGAIN))
            rules.append((sa.and_(people.c.thing != "", sa.exists(same_thing)), AGAIN))
    return sa.func.coalesce(_kept_out(people), sa.case(*rules))


def _kept_out(people: sa.Subquery) -> sa.ColumnElement[Any]:
    return people.c[KEPT_OUT] if KEPT_OUT in people.c else sa.cast(sa.null(), sa.String())

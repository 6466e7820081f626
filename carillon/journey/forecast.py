"""Whom an entry by events would have taken in: what `plan` says before there is a run, by the Selects of a run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_never

import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.moment import Subject
from carillon.definition.conditions import TriggerIs
from carillon.definition.entries import At, ByApi, Cron, Every, OnDate, OnEvent, OnSegment, PlanEntry, Rrule
from carillon.journey.dated import dated
from carillon.journey.everybody import everybody
from carillon.journey.ground import Ground
from carillon.journey.members import would_join
from carillon.journey.occasions import next_occasion_of, occasions
from carillon.journey.ripen import cancelled_by, ripe_at
from carillon.journey.scheduled import people_of
from carillon.journey.take_in import KEPT_OUT
from carillon.journey.told import thing_of
from carillon.kernel.clock import DAY, Micros
from carillon.kernel.time.calendar import utc_to_local
from carillon.store import tables as t

MONTH: Micros = 30 * DAY


def happened(ground: Ground, entry: OnEvent, since: Micros) -> sa.Select[Any]:
    """The newest trigger of each contact and thing since an instant; columns as `everybody` has them."""
    rows = _ranked(ground, entry, since)
    place = sa.func.row_number().over(
        partition_by=[rows.c.contact_id, rows.c.thing], order_by=[rows.c.trigger_at.desc(), rows.c.trigger_hash]
    )
    newest = sa.select(rows, place.label("place")).where(_is_over(entry, rows)).subquery("newest")
    subject = Subject(newest.c.contact_id, enrolment=newest, few=True)
    until = Subject(newest.c.contact_id, enrolment=newest, few=True, until=newest.c.arrived_at)
    reasons = [sa.case(*found).label(KEPT_OUT)] if (found := _cancelled(ground, entry, until)) else []
    return (
        sa.select(*(c for c in newest.c if c.name not in ("place", "next_at")), *reasons)
        .where(newest.c.place == 1)
        .where(where(ground.applied.plan.audience, subject, ground.moment))
        .where(where(TriggerIs(entry.where), subject, ground.moment))
    )


def _ranked(ground: Ground, entry: OnEvent, since: Micros) -> sa.Subquery:
    ev, s, nothing = t.event.c, t.standing.c, sa.cast(sa.null(), sa.BigInteger())
    thing = thing_of(entry)
    next_at = sa.func.lead(ev.occurred_at).over(
        partition_by=[ev.contact_id, thing], order_by=[ev.occurred_at, ev.hash64.desc()]
    )
    arrived_at = ev.occurred_at if entry.ripens_in is None else ripe_at(entry, ev.occurred_at, ev.occurred_at)
    return (
        sa.select(
            ev.contact_id,
            arrived_at.label("arrived_at"),
            thing.label("thing"),
            ev.occurred_at.label("trigger_at"),
            ev.hash64.label("trigger_hash"),
            s.zone.label("zone"),
            s.h31.label("h31"),
            sa.literal(0, sa.BigInteger()).label("id"),
            ev.occurred_at.label("entered_at"),
            nothing.label("node_id"),
            nothing.label("answer_at"),
            nothing.label("answer_hash"),
            next_at.label("next_at"),
        )
        .join_from(t.event, t.standing, s.contact_id == ev.contact_id)
        .where(ev.kind == entry.event, ev.occurred_at > since, ev.occurred_at <= ground.now)
        .subquery("told")
    )


def _is_over(entry: OnEvent, rows: sa.Subquery) -> sa.ColumnElement[bool]:
    """With `idle`: nothing more happened to the thing before it was ripe."""
    return sa.true() if entry.idle is None else sa.or_(rows.c.next_at.is_(None), rows.c.next_at >= rows.c.arrived_at)


def _cancelled(ground: Ground, entry: OnEvent, until: Subject) -> list[tuple[sa.ColumnElement[Any], str]]:
    return [] if entry.ripens_in is None else list(cancelled_by(ground, until))


def would_enter(ground: Ground, entry: PlanEntry) -> sa.Select[Any]:
    """Whom the entry would take in: at its next occurrence, if it were called now, or by the events of the last month."""
    now = sa.literal(ground.now, sa.BigInteger())
    match entry:
        case At() | Every() | Cron() | Rrule():
            occasion = next(iter(occasions(ground, entry)), None) or next_occasion_of(ground, entry)
            return people_of(ground, entry, occasion) if occasion else everybody(ground, now)
        case OnDate():
            today = utc_to_local(ground.rules.timezone, ground.now).date()
            return dated(ground, entry, [today + timedelta(days=n) for n in range(31)])
        case OnEvent():
            return happened(ground, entry, ground.now - MONTH)
        case OnSegment():
            return would_join(ground, entry)
        case ByApi():
            return everybody(ground, now)
        case _:
            assert_never(entry)

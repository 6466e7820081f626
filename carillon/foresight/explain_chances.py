"""What could have taken a contact in, and why it did or did not: each event of an entry, each wave of a scheduled one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.events import zone_of
from carillon.audience.fields import asks_clock, props_hold
from carillon.definition.entries import OnEvent, Scheduled, entry_key
from carillon.journey import cursor
from carillon.journey.ground import Ground
from carillon.journey.told import consumer_of, thing_of
from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.durations import Span
from carillon.store import tables as t
from carillon.store.by_contact import same_event

NEWEST = 20
"""So many events and waves of an entry are told; what retention has removed is not there to be told."""


@dataclass(frozen=True, slots=True)
class Chance:
    """One event or wave that could have taken the contact in."""

    at: Micros
    entry: str
    thing: str
    took_in: bool
    why: str


def chances(connection: Connection, ground: Ground, contact_id: int) -> Iterator[Chance]:
    """Those of every entry, in the order of time."""
    ways = _ways(connection, ground, contact_id)
    found: list[Chance] = []
    for entry in ground.applied.plan.entries:
        if isinstance(entry, OnEvent):
            found += _events(connection, ground, entry, contact_id, ways)
        elif isinstance(entry, Scheduled):
            found += _waves(connection, ground, entry_key(entry), contact_id, ways)
    yield from sorted(found, key=lambda chance: chance.at)


def _ways(connection: Connection, ground: Ground, contact_id: int) -> list[sa.Row[Any]]:
    e = t.enrolment.c
    mine = sa.and_(e.campaign_id == ground.applied.id, e.contact_id == contact_id)
    return list(connection.execute(sa.select(t.enrolment).where(mine).order_by(e.id)).all())


# ----------------------------------------------------------------------------------------------------------- by events


def _events(
    connection: Connection, ground: Ground, entry: OnEvent, contact_id: int, ways: list[sa.Row[Any]]
) -> Iterator[Chance]:
    theirs, ev, arrived, signal = t.contact_event.c, t.event.c, t.intake.c, t.signal.c
    zone = zone_of(t.event.c.contact_id) if asks_clock(entry.where) else None
    fits = props_hold(entry.where, ev.props, zone, ground.moment) if entry.where else sa.true()
    heard = sa.and_(signal.kind == "event", signal.event_at == ev.occurred_at, signal.event_hash == ev.hash64)
    rows = connection.execute(
        sa.select(
            ev.occurred_at, ev.hash64, thing_of(entry).label("thing"), sa.case((fits, 1), else_=0).label("fits"),
            arrived.received_at, arrived.history, sa.select(sa.func.min(signal.id)).where(heard).scalar_subquery().label("signal"),
        )
        .join_from(t.contact_event, t.event, same_event(t.contact_event, t.event))
        .join(t.intake, arrived.id == ev.intake_id)
        .where(theirs.contact_id == contact_id, theirs.kind == entry.event)
        .order_by(theirs.occurred_at.desc())
        .limit(NEWEST)
    ).all()  # fmt: skip
    if not rows:
        return
    read, _ = cursor.span(connection, consumer_of(ground, entry))
    ripening = _ripening(connection, ground, entry, contact_id)
    for row in rows:
        own = next((w for w in ways if (w.trigger_at, w.trigger_hash) == (row.occurred_at, row.hash64)), None)
        why = "" if own is not None else _why_not(ground, entry, row, ways, read, ripening)
        yield Chance(row.occurred_at, entry_key(entry), row.thing, own is not None, why)


def _ripening(connection: Connection, ground: Ground, entry: OnEvent, contact_id: int) -> frozenset[str]:
    r = t.ripening.c
    mine = sa.and_(r.campaign_id == ground.applied.id, r.entry == entry_key(entry), r.contact_id == contact_id)
    return frozenset(connection.scalars(sa.select(r.thing).where(mine)))


def _why_not(
    ground: Ground, entry: OnEvent, row: sa.Row[Any], ways: list[sa.Row[Any]], read: int, ripening: frozenset[str]
) -> str:
    """The first of the rules of an entry that says no, as it stood when the event came."""
    late = row.received_at - row.occurred_at
    same = [way for way in ways if way.thing == row.thing]
    if row.history:
        return "imported history, which takes nobody in"
    if row.occurred_at <= ground.applied.first_applied_at:
        return "before the campaign was first applied"
    if late > entry.if_late.seconds * SECOND:
        return f"came {Span(late // SECOND)} late, {entry.if_late} is allowed"
    if not row.fits:
        return "`where` does not hold of it"
    if row.signal is None or row.signal > read:
        return "not looked at yet"
    if row.thing in ripening:
        return "waits until nothing more happens, or its time is over"
    if any(way.entered_at <= row.received_at and (way.ended_at or row.received_at) >= row.received_at for way in same):
        return "under way already"
    if any(way.trigger_at is not None and way.trigger_at > row.occurred_at for way in same):
        return "a newer one of the same thing took them in"
    if any(way.entered_at <= row.received_at for way in ways) and entry.again != "always":
        return "had it before"
    return "the audience did not hold, or an exit came first"


# ------------------------------------------------------------------------------------------------------ by the calendar


def _waves(
    connection: Connection, ground: Ground, entry: str, contact_id: int, ways: list[sa.Row[Any]]
) -> Iterator[Chance]:
    w = t.wave.c
    mine = sa.and_(w.campaign_id == ground.applied.id, w.entry == entry)
    rows = connection.execute(sa.select(t.wave).where(mine).order_by(w.id.desc()).limit(NEWEST)).all()
    came = connection.scalar(sa.select(t.contact.c.created_at).where(t.contact.c.id == contact_id)) or 0
    for row in rows:
        took_in = any(way.wave_id == row.id for way in ways)
        yield Chance(row.snapshot_at, entry, row.ref, took_in, "" if took_in else _left_out(row, ways, came))


def _left_out(wave: sa.Row[Any], ways: list[sa.Row[Any]], came: Micros) -> str:
    earlier = [way for way in ways if way.entered_at <= wave.snapshot_at]
    if came > wave.snapshot_at:
        return "not known then"
    if any(way.ended_at is None or way.ended_at > wave.snapshot_at for way in earlier):
        return "under way then"
    return "had it before" if earlier else "not in the audience then, or too late for it"

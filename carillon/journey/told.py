"""What signals say to an entry: the triggers among them, what they are about, and how far the entry has read."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import ByApi, OnEvent, entry_key
from carillon.journey.ground import Ground
from carillon.journey.moving import move_alone
from carillon.kernel.clock import DAY, Micros
from carillon.store import tables as t
from carillon.store.json import text_at

AHEAD: Micros = DAY
"""How far the shop's clock may run ahead of ours. What is stamped later than that is a wrong date and enrols nobody."""


def consumer_of(ground: Ground, entry: OnEvent | ByApi) -> str:
    """The name under which an entry remembers how far it has read."""
    return f"enter:{ground.applied.id}:{entry_key(entry)}"


def told(
    ground: Ground, entry: OnEvent | ByApi, low: int, high: int, *, since: Micros, until: Micros
) -> sa.Select[Any]:
    """What signals in (low, high] say to this entry, of what happened in (since, until] and after the first apply."""
    signal, ev, s = t.signal.c, t.event.c, t.standing.c
    happened_at = sa.func.coalesce(signal.event_at, signal.at)
    thing: sa.ColumnElement[Any] = signal.thing
    mine = sa.and_(signal.kind == "enter", signal.campaign_id == ground.applied.id)
    if isinstance(entry, OnEvent):
        thing = thing_of(entry)
        mine = sa.and_(signal.kind == "event", signal.subject == entry.event, signal.history == 0)
    return (
        sa.select(
            t.contact.c.id.label("contact_id"),
            sa.literal(ground.now, sa.BigInteger()).label("arrived_at"),
            thing.label("thing"),
            signal.event_at.label("trigger_at"),
            signal.event_hash.label("trigger_hash"),
            s.zone.label("zone"),
            s.h31.label("h31"),
            signal.id.label("signal_id"),
            happened_at.label("happened_at"),
        )
        .join_from(t.signal, t.contact, t.contact.c.id == signal.contact_id)
        .join(t.standing, s.contact_id == t.contact.c.id)
        .outerjoin(t.event, sa.and_(ev.occurred_at == signal.event_at, ev.hash64 == signal.event_hash))
        .where(signal.id > low, signal.id <= high, mine)
        .where(happened_at > max(since, ground.applied.first_applied_at), happened_at <= until)
    )


def thing_of(entry: OnEvent) -> sa.ColumnElement[Any]:
    """What a row of `event` is about: `once_per`, else nothing but the person."""
    if entry.once_per is None:
        return sa.literal("")
    return sa.func.coalesce(text_at(t.event.c.props, (entry.once_per,)), "")


def renew_triggers(connection: Connection, ground: Ground, newer: sa.Subquery) -> None:
    """Who is under way for the same thing keeps going, with the newer event as the trigger."""
    e = t.enrolment.c
    move_alone(connection, ground.applied.id)
    connection.execute(
        t.enrolment.update()
        .where(e.campaign_id == ground.applied.id, e.state == "live")
        .where(e.contact_id == newer.c.contact_id, e.thing == newer.c.thing, newer.c.trigger_at > e.trigger_at)
        .values(trigger_at=newer.c.trigger_at, trigger_hash=newer.c.trigger_hash)
    )

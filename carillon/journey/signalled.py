"""Entries by what was told since the last look: the shop's events, and its calls."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import Subject
from carillon.definition.conditions import TriggerIs
from carillon.definition.entries import ByApi, OnEvent, entry_key
from carillon.journey import cursor
from carillon.journey.ground import Ground
from carillon.journey.take_in import Entered, Wave, take_in
from carillon.kernel.clock import SECOND
from carillon.store import tables as t
from carillon.store.json import text_at


def enter_signalled(ground: Ground, entry: OnEvent | ByApi) -> list[Entered]:
    """Take in whom the signals since the last look name, each at once."""
    entered = []
    with ground.store.write("ledger") as connection:
        consumer = consumer_of(ground, entry)
        low, high = cursor.span(connection, consumer)
        if low == high:
            return []
        people = _signalled(ground, entry, low, high)
        if connection.scalar(sa.select(sa.exists(people))):
            renew_triggers(connection, ground, people.subquery("newer"))
            if entry.again not in ("always", "once_a_thing"):
                people = _signalled(ground, entry, low, high, once_a_person=True)
            entered.append(take_in(connection, ground, Wave(entry, f"{low}-{high}", ground.now), people))
        cursor.advance(connection, consumer, high)
    return entered


def consumer_of(ground: Ground, entry: OnEvent | ByApi) -> str:
    """The name under which an entry remembers how far it has read."""
    return f"enter:{ground.applied.id}:{entry_key(entry)}"


def _signalled(
    ground: Ground, entry: OnEvent | ByApi, low: int, high: int, *, once_a_person: bool = False
) -> sa.Select[Any]:
    """Candidates named by signals: the newest trigger of each contact and thing, after the first apply and not too late.

    `once_a_person` takes the newest of each contact: two things that come at once are two entries of the same person.
    """
    all_told = told(ground, entry, low, high).subquery("all_told")
    in_time = sa.select(all_told).where(all_told.c.happened_at >= ground.now - entry.if_late.seconds * SECOND)
    heard = in_time.subquery("told")
    trigger = Subject(heard.c.contact_id, enrolment=heard, few=True)
    same = [heard.c.contact_id] if once_a_person else [heard.c.contact_id, heard.c.thing]
    place = sa.func.row_number().over(
        partition_by=same, order_by=[heard.c.happened_at.desc(), heard.c.signal_id.desc()]
    )
    ranked = (
        sa.select(*(c for c in heard.c if c.name not in ("signal_id", "happened_at")), place.label("place"))
        .where(where(ground.applied.plan.audience, trigger, ground.moment))
        .where(where(TriggerIs(entry.where), trigger, ground.moment) if isinstance(entry, OnEvent) else sa.true())
        .subquery("ranked")
    )
    return sa.select(*(c for c in ranked.c if c.name != "place")).where(ranked.c.place == 1)


def told(ground: Ground, entry: OnEvent | ByApi, low: int, high: int) -> sa.Select[Any]:
    """What signals in (low, high] say to this entry, of what happened after the first apply and up to now."""
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
        .where(happened_at > ground.applied.first_applied_at, happened_at <= ground.now)
    )


def thing_of(entry: OnEvent) -> sa.ColumnElement[Any]:
    """What a row of `event` is about: `once_per`, else nothing but the person."""
    if entry.once_per is None:
        return sa.literal("")
    return sa.func.coalesce(text_at(t.event.c.props, (entry.once_per,)), "")


def renew_triggers(connection: Connection, ground: Ground, newer: sa.Subquery) -> None:
    """Who is under way for the same thing keeps going, with the newer event as the trigger."""
    e = t.enrolment.c
    connection.execute(
        t.enrolment.update()
        .where(e.campaign_id == ground.applied.id, e.state == "live")
        .where(e.contact_id == newer.c.contact_id, e.thing == newer.c.thing, newer.c.trigger_at > e.trigger_at)
        .values(trigger_at=newer.c.trigger_at, trigger_hash=newer.c.trigger_hash)
    )

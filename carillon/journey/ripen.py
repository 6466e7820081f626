"""Entries that wait: what happens to a thing ripens, and who owns it enters once nothing more has happened (`idle`), or
once what was collected is over. What is stamped ahead of our clock ripens until its instant, whatever the entry.

Signals only write down when a thing will be ripe; all questions are asked then. So it does not matter in which order
events arrived: exits and the goal are looked at from the trigger on, and `where` is asked of the newest event.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import Subject
from carillon.definition.conditions import TriggerIs
from carillon.definition.entries import OnEvent, entry_key
from carillon.journey import cursor
from carillon.journey.exits import exit_conditions
from carillon.journey.ground import Ground
from carillon.journey.take_in import KEPT_OUT, LATE, Entered, Wave, take_in
from carillon.journey.told import AHEAD, consumer_of, renew_triggers, told
from carillon.kernel.clock import SECOND, Micros, from_micros
from carillon.store import tables as t
from carillon.store.bulk import upsert_select

Column = sa.ColumnElement[Any]


def enter_ripe(ground: Ground, entry: OnEvent) -> list[Entered]:
    """Write down what began to ripen since the last look, and take in whose thing is ripe."""
    with ground.store.write("ledger") as connection:
        consumer = consumer_of(ground, entry)
        low, high = cursor.span(connection, consumer)
        if low < high:
            first = ground.applied.first_applied_at
            _ripen(connection, ground, entry, told(ground, entry, low, high, since=first, until=ground.now + AHEAD))
            cursor.advance(connection, consumer, high)
        return take_ripe(connection, ground, entry, high)


def hold_ahead(connection: Connection, ground: Ground, entry: OnEvent, low: int, high: int) -> None:
    """Write down what signals in (low, high] say that has yet to happen by our clock: a shop's clock may run ahead."""
    _ripen(connection, ground, entry, told(ground, entry, low, high, since=ground.now, until=ground.now + AHEAD))


def take_ripe(connection: Connection, ground: Ground, entry: OnEvent, high: int) -> list[Entered]:
    """Take in whose thing is ripe, with all signals up to `high` written down."""
    ripe = _ripe(ground, entry)
    if connection.scalar(sa.select(t.ripening.c.contact_id).where(ripe).limit(1)) is None:
        return []
    # What is ripe goes away in this transaction: the wave's key need only be new.
    ref = f"{from_micros(ground.now).isoformat()}/{high}"
    entered = take_in(connection, ground, Wave(entry, ref, ground.now), [_candidates(ground, entry, ripe)])
    connection.execute(t.ripening.delete().where(ripe))
    return [entered]


def next_ripe(connection: Connection, ground: Ground) -> Micros | None:
    """When the first thing will be ripe that is not yet."""
    r = t.ripening.c
    at: Micros | None = connection.scalar(
        sa.select(sa.func.min(r.ripe_at)).where(
            r.campaign_id == ground.applied.id, r.entry.in_(_ripening_entries(ground)), r.ripe_at > ground.now
        )
    )
    return at


def has_ripe(connection: Connection, ground: Ground) -> bool:
    """Whether somebody whose thing is ripe has not been looked at."""
    r = t.ripening.c
    ripe = sa.and_(r.campaign_id == ground.applied.id, r.entry.in_(_ripening_entries(ground)), r.ripe_at <= ground.now)
    return connection.scalar(sa.select(r.contact_id).where(ripe).limit(1)) is not None


def cancelled_by(ground: Ground, subject: Subject) -> Iterator[tuple[Column, str]]:
    """(whether it happened, exit code) of what ends this campaign: before entry it keeps out."""
    for code, condition in exit_conditions(ground.applied.plan):
        yield where(condition, subject, ground.moment), code


def _ripening_entries(ground: Ground) -> list[str]:
    entries = ground.applied.plan.entries
    return [entry_key(e) for e in entries if isinstance(e, OnEvent)]


def _ripe(ground: Ground, entry: OnEvent) -> sa.ColumnElement[bool]:
    r = t.ripening.c
    return sa.and_(r.campaign_id == ground.applied.id, r.entry == entry_key(entry), r.ripe_at <= ground.now)


def _ripen(connection: Connection, ground: Ground, entry: OnEvent, news: sa.Select[Any]) -> None:
    """One row a contact and thing; a newer event puts off when it is ripe."""
    heard = news.subquery("heard")
    same = [heard.c.contact_id, heard.c.thing]
    newest_first = [heard.c.trigger_at.desc(), heard.c.signal_id.desc()]
    ranked = sa.select(
        heard,
        sa.func.row_number().over(partition_by=same, order_by=newest_first).label("place"),
        sa.func.min(heard.c.trigger_at).over(partition_by=same).label("first_at"),
    ).subquery("ranked")
    newest = sa.select(ranked).where(ranked.c.place == 1)
    _write(connection, ground, entry, newest.subquery("newest"))
    renew_triggers(connection, ground, newest.subquery("newer"))


def _write(connection: Connection, ground: Ground, entry: OnEvent, newest: sa.Subquery) -> None:
    e, n = t.enrolment.c, newest.c
    # An event that arrives after its own thing was taken in by a newer one has been answered.
    answered = sa.exists().where(
        e.campaign_id == ground.applied.id,
        e.contact_id == n.contact_id,
        e.thing == n.thing,
        e.trigger_at >= n.trigger_at,
    )
    rows: dict[str, Column] = {
        "campaign_id": sa.literal(ground.applied.id, sa.BigInteger()),
        "entry": sa.literal(entry_key(entry)),
        "contact_id": n.contact_id,
        "thing": n.thing,
        "first_at": n.first_at,
        "last_at": n.trigger_at,
        "event_at": n.trigger_at,
        "event_hash": n.trigger_hash,
        "ripe_at": ripe_at(entry, n.first_at, n.trigger_at),
    }
    told_anew = sa.select(*(value.label(name) for name, value in rows.items())).where(sa.not_(answered))

    def merged(row: Any, new: Any) -> dict[str, Column]:
        first_at = sa.case((new.first_at < row.first_at, new.first_at), else_=row.first_at)
        is_newer = new.last_at >= row.last_at
        last_at = sa.case((is_newer, new.last_at), else_=row.last_at)
        return {
            "first_at": first_at,
            "last_at": last_at,
            "event_at": last_at,
            "event_hash": sa.case((is_newer, new.event_hash), else_=row.event_hash),
            "ripe_at": ripe_at(entry, first_at, last_at),
        }

    key = ("campaign_id", "entry", "contact_id", "thing")
    upsert_select(connection, t.ripening, list(rows), told_anew, key=key, merged=merged)


def ripe_at(entry: OnEvent, first_at: Column, last_at: Column) -> Column:
    """When a thing to which something happened first and last at these instants is ripe."""
    longest = None if entry.collect is None else entry.collect.longest
    over = None if longest is None else first_at + longest.seconds * SECOND
    if entry.idle is None:
        return last_at if over is None else over
    quiet = last_at + entry.idle.seconds * SECOND
    return quiet if over is None else sa.case((over < quiet, over), else_=quiet)


def _candidates(ground: Ground, entry: OnEvent, ripe: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Whose thing is ripe, of one person's the newest where `again` speaks of the person; and what keeps whom out."""
    r, s, c = t.ripening.c, t.standing.c, t.contact.c
    nothing = sa.cast(sa.null(), sa.BigInteger())
    rows = (
        sa.select(
            r.contact_id,
            r.ripe_at.label("arrived_at"),
            r.thing,
            r.event_at.label("trigger_at"),
            r.event_hash.label("trigger_hash"),
            (nothing if entry.collect is None else r.first_at).label("collected_from"),
            s.zone,
            s.h31,
            # What an exit condition asks of an enrolment, for one that is not there yet.
            sa.literal(0, sa.BigInteger()).label("id"),
            r.event_at.label("entered_at"),
            nothing.label("node_id"),
            nothing.label("answer_at"),
            nothing.label("answer_hash"),
        )
        .join_from(t.ripening, t.contact, sa.and_(c.id == r.contact_id, c.merged_into.is_(None), c.erased_at.is_(None)))
        .join(t.standing, s.contact_id == r.contact_id)
        .where(ripe)
        .subquery("ripe")
    )
    subject = Subject(rows.c.contact_id, enrolment=rows, few=True)
    late = rows.c.arrived_at < ground.now - entry.if_late.seconds * SECOND
    asked = (
        sa.select(*rows.c, sa.case((late, LATE), *cancelled_by(ground, subject), else_=sa.null()).label(KEPT_OUT))
        .where(where(ground.applied.plan.audience, subject, ground.moment))
        .where(where(TriggerIs(entry.where), subject, ground.moment))
        .subquery("asked")
    )
    if entry.again in ("always", "once_a_thing"):
        return sa.select(asked)
    place = sa.func.row_number().over(
        partition_by=asked.c.contact_id, order_by=[asked.c[KEPT_OUT].is_(None).desc(), asked.c.trigger_at.desc()]
    )
    ranked = sa.select(asked, place.label("place")).subquery("ranked")
    return sa.select(*(column for column in ranked.c if column.name != "place")).where(ranked.c.place == 1)

"""Entries by a segment: who has joined or left it since it was looked at last, by a stored list of its members.

The list stands in the ledger, so that a difference and the wave that it causes are one transaction. Everybody is asked
every quarter of an hour; whom an event may have moved is asked as soon as it is read. What an import of history moves
is written down in silence.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import of_contact
from carillon.audience.select import depends_on, matching
from carillon.definition.entries import OnSegment, entry_key
from carillon.journey import cursor
from carillon.journey.everybody import everybody
from carillon.journey.ground import Ground
from carillon.journey.take_in import KEPT_OUT, NOT_STARTED, Entered, Wave, is_taken, out_of_season, take_in
from carillon.kernel.clock import MINUTE, Micros, from_micros
from carillon.kernel.time.calendar import local_to_utc, utc_to_local
from carillon.plan.compile import canonical
from carillon.store import tables as t
from carillon.store.bulk import insert_select
from carillon.store.staging import stage, weigh
from carillon.store.writing import put_row

ASKED_EVERY: Micros = 15 * MINUTE
PRESENT = "present"
"""Why somebody who is in the segment does not enter: they were in it when the entry began to look."""

_NOW = sa.table("members_now", sa.column("contact_id", sa.BigInteger()))
Ids = sa.Select[tuple[int]]


def enter_members(ground: Ground, entry: OnSegment) -> list[Entered]:
    """Take in who joined or left since the last look, and of those who were there as many as a day may.

    Before the campaign starts it looks at nobody: who is in the segment then was there at the first look.
    """
    if out_of_season(ground) == NOT_STARTED:
        return []
    with ground.store.write("ledger") as connection:
        consumer = f"enter:{ground.applied.id}:{entry_key(entry)}"
        low, high = cursor.span(connection, consumer)
        stage(connection, _NOW.name, "contact_id BIGINT PRIMARY KEY")
        entered = []
        watch = watched(connection, ground, entry)
        if watch is None or watch.condition != _hash(entry):
            _begin(connection, ground, entry)
        else:
            _compare(connection, ground, entry, _told(entry, low, high, history=True), is_silent=True)
            is_time = watch.asked_at + ASKED_EVERY <= ground.now
            asked = None if is_time else _told(entry, low, high, history=False)
            entered += _compare(connection, ground, entry, asked, ref=f"{from_micros(ground.now).isoformat()}/{high}")
            if is_time:
                _remember(connection, ground, entry, watch.began_at)
        cursor.advance(connection, consumer, high)
        return entered + _enter_existing(connection, ground, entry)


def next_look(connection: Connection, ground: Ground, entry: OnSegment) -> Micros:
    """When everybody is asked again, or the next of those who were there may enter; where it never was, now or when it starts."""
    watch = watched(connection, ground, entry)
    if watch is None:
        starts = ground.applied.plan.starts
        return ground.now if starts is None else max(ground.now, local_to_utc(ground.rules.timezone, starts))
    asked: Micros = watch.asked_at + ASKED_EVERY
    return asked if not _is_waiting(connection, ground, entry) else min(asked, _next_day(ground, watch.began_at))


def watched(connection: Connection, ground: Ground, entry: OnSegment) -> Any:
    """What the entry has seen so far; None before its first look."""
    w = t.watch.c
    mine = sa.and_(w.campaign_id == ground.applied.id, w.entry == entry_key(entry))
    return connection.execute(sa.select(t.watch).where(mine)).one_or_none()


def would_join(ground: Ground, entry: OnSegment) -> sa.Select[Any]:
    """The people of the segment, and why they do not enter: what `plan` can know of those who will join or leave."""
    m = t.member.c
    in_it = everybody(ground, sa.literal(ground.now, sa.BigInteger()))
    rows = in_it.where(where(entry.condition, of_contact(), ground.moment)).subquery("in_it")
    mine = sa.and_(m.campaign_id == ground.applied.id, m.entry == entry_key(entry), m.contact_id == rows.c.contact_id)
    if not entry.existing:
        return sa.select(rows, sa.literal(PRESENT).label(KEPT_OUT))
    taken = sa.exists().where(mine, m.waiting == 0)
    return sa.select(rows, sa.case((taken, PRESENT)).label(KEPT_OUT))


def _hash(entry: OnSegment) -> str:
    text = json.dumps(canonical(entry.condition), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"carillon-segm-v1").hexdigest()


def _remember(connection: Connection, ground: Ground, entry: OnSegment, began_at: Micros) -> None:
    key = {"campaign_id": ground.applied.id, "entry": entry_key(entry)}
    put_row(connection, t.watch, key, {"condition": _hash(entry), "began_at": began_at, "asked_at": ground.now})


def _begin(connection: Connection, ground: Ground, entry: OnSegment) -> None:
    """Write down who is in the segment: nobody joins or leaves by being looked at first, or by another definition."""
    _ask(connection, ground, entry, None)
    _forget_who_left(connection, ground, entry, None)
    _add_who_joined(connection, ground, entry, waiting=1 if entry.existing else 0)
    _remember(connection, ground, entry, ground.now)


def _told(entry: OnSegment, low: int, high: int, *, history: bool) -> Ids | None:
    """Whom signals in (low, high] may have moved into the segment or out of it."""
    signal, depends = t.signal.c, depends_on(entry.condition)
    heard = sa.and_(signal.kind == "event", signal.subject.in_(sorted(depends.events | {"contact.created"})))
    if depends.feedback:
        heard = sa.or_(heard, signal.kind == "response")
    return sa.select(signal.contact_id).where(
        signal.id > low, signal.id <= high, signal.contact_id.is_not(None), heard, signal.history == int(history)
    )


def _compare(
    connection: Connection, ground: Ground, entry: OnSegment, asked: Ids | None, *, ref: str = "", is_silent: bool = False
) -> list[Entered]:  # fmt: skip
    """Bring the list up to date for those who are `asked` (None: everybody); whom that moved enters, unless in silence."""
    if asked is not None and connection.execute(asked.limit(1)).first() is None:
        return []
    _ask(connection, ground, entry, asked)
    moved = _who_joined(ground, entry) if entry.way == "joins" else _who_left(ground, entry, asked)
    entered = []
    if not is_silent and connection.execute(moved.limit(1)).first() is not None:
        people = everybody(ground, sa.literal(ground.now, sa.BigInteger())).where(t.contact.c.id.in_(moved))
        entered.append(take_in(connection, ground, Wave(entry, ref, ground.now), [people]))
    _forget_who_left(connection, ground, entry, asked)
    _add_who_joined(connection, ground, entry, waiting=0)
    return entered


def _ask(connection: Connection, ground: Ground, entry: OnSegment, asked: Ids | None) -> None:
    """Stage who is in the segment now. Whom an import has just made, and who was not told of yet, is not looked at."""
    n, c = t.notice.c, t.contact.c
    imported = sa.exists().where(n.kind == "contacts", n.history == 1, n.low <= c.id, n.high >= c.id)
    only = (sa.not_(imported), *(() if asked is None else (c.id.in_(asked),)))
    members = matching(entry.condition, ground.moment, *only)
    connection.execute(sa.delete(_NOW))
    connection.execute(sa.insert(_NOW).from_select(["contact_id"], members))
    weigh(connection, _NOW.name)


def _mine(ground: Ground, entry: OnSegment) -> sa.ColumnElement[bool]:
    return sa.and_(t.member.c.campaign_id == ground.applied.id, t.member.c.entry == entry_key(entry))


def _who_joined(ground: Ground, entry: OnSegment) -> Ids:
    known = sa.exists().where(_mine(ground, entry), t.member.c.contact_id == _NOW.c.contact_id)
    return sa.select(_NOW.c.contact_id).where(sa.not_(known))


def _who_left(ground: Ground, entry: OnSegment, asked: Ids | None) -> Ids:
    m = t.member.c
    gone = sa.and_(_mine(ground, entry), m.contact_id.not_in(sa.select(_NOW.c.contact_id)))
    return sa.select(m.contact_id).where(gone if asked is None else sa.and_(gone, m.contact_id.in_(asked)))


def _forget_who_left(connection: Connection, ground: Ground, entry: OnSegment, asked: Ids | None) -> None:
    left = _who_left(ground, entry, asked)
    connection.execute(t.member.delete().where(_mine(ground, entry), t.member.c.contact_id.in_(left)))


def _add_who_joined(connection: Connection, ground: Ground, entry: OnSegment, *, waiting: int) -> None:
    joined = _who_joined(ground, entry).subquery("joined")
    columns: tuple[sa.ColumnElement[Any], ...] = (
        sa.literal(ground.applied.id), sa.literal(entry_key(entry)), joined.c.contact_id, sa.literal(waiting),
    )  # fmt: skip
    names = ("campaign_id", "entry", "contact_id", "waiting")
    insert_select(connection, t.member, names, sa.select(*(c.label(n) for c, n in zip(columns, names, strict=True))))


# ------------------------------------------------------------------------------------------- those who were there


def _enter_existing(connection: Connection, ground: Ground, entry: OnSegment) -> list[Entered]:
    """Of those who were in the segment from the beginning as many as a day may; one wave a day of the workspace's."""
    watch = watched(connection, ground, entry)
    today, slot = _slot(ground, watch.began_at, 0)
    if slot > ground.now or not _is_waiting(connection, ground, entry) or is_taken(connection, ground, entry, today):
        return []
    m, c = t.member.c, t.contact.c
    waiting = sa.select(m.contact_id).where(_mine(ground, entry), m.waiting == 1)
    people = everybody(ground, sa.literal(ground.now, sa.BigInteger())).where(c.id.in_(waiting))
    through = None
    if entry.existing_a_day is not None:
        few = people.with_only_columns(c.id).order_by(c.id).limit(entry.existing_a_day).subquery("few")
        n, through = connection.execute(sa.select(sa.func.count(), sa.func.max(few.c.id))).one()
        through = through if n == entry.existing_a_day else None
    if through is not None:
        people = people.where(c.id <= through)
    entered = take_in(connection, ground, Wave(entry, today, ground.now), [people])
    done = sa.true() if through is None else m.contact_id <= through
    connection.execute(t.member.update().where(_mine(ground, entry), m.waiting == 1, done).values(waiting=0))
    return [entered]


def _is_waiting(connection: Connection, ground: Ground, entry: OnSegment) -> bool:
    one = sa.select(t.member.c.contact_id).where(_mine(ground, entry), t.member.c.waiting == 1).limit(1)
    return connection.scalar(one) is not None


def _slot(ground: Ground, began_at: Micros, days: int) -> tuple[str, Micros]:
    """A day of the workspace's calendar, so many after today, and its instant: the clock time of the beginning."""
    zone = ground.rules.timezone
    day = utc_to_local(zone, ground.now).date() + timedelta(days=days)
    return day.isoformat(), local_to_utc(zone, datetime.combine(day, utc_to_local(zone, began_at).time()))


def _next_day(ground: Ground, began_at: Micros) -> Micros:
    _, today = _slot(ground, began_at, 0)
    return today if today > ground.now else _slot(ground, began_at, 1)[1]

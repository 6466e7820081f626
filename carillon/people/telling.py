"""What happened to contacts in core, told as events: created, signed up, subscribed, unsubscribed.

The rows themselves are the evidence, so an event's key follows from its row: telling a notice twice, as after a crash
between the two parts, adds nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from carillon.consent.standing import is_pair
from carillon.kernel.clock import Micros
from carillon.store import tables as t
from carillon.store.bulk import insert_select, many, reserve_ids
from carillon.store.by_contact import lay_by_contact
from carillon.store.engine import Store
from carillon.store.json import as_document
from carillon.store.staging import stage, weigh

CREATED, SIGNED_UP = "contact.created", "contact.signed_up"
SUBSCRIBED, UNSUBSCRIBED = "contact.subscribed", "contact.unsubscribed"
SOURCE = "carillon"
TOLD_TOGETHER = 50
"""Notices of one round."""

Pair = tuple[str, str]
_STAGED = sa.table("told", *(sa.column(name) for name in ("occurred_at", "hash64", "kind", "contact_id", "props")))
_TOLD = "occurred_at BIGINT, hash64 BIGINT, kind TEXT, contact_id BIGINT, props TEXT"


def tell(store: Store, now: Micros, *, double: Collection[Pair] = (), assumed: Collection[Pair] = ()) -> int:
    """Tell everything that waits as events; returns how many were new.

    `double` are the topics and channels where only a confirmed yes subscribes, and a first one signs up; `assumed` those
    where nobody need say yes to be able to leave.
    """
    told = 0
    while notices := _waiting(store):
        for notice in notices:
            with store.write("events") as connection:
                told += _tell_one(connection, notice, now, double, assumed)
        with store.write("core") as connection:
            done = [notice.id for notice in notices]
            connection.execute(t.notice.delete().where(t.notice.c.id.in_(many(done))))
    return told


def _waiting(store: Store) -> Sequence[sa.Row[Any]]:
    with store.read() as connection:
        return connection.execute(sa.select(t.notice).order_by(t.notice.c.id).limit(TOLD_TOGETHER)).all()


def _tell_one(
    connection: Connection, notice: sa.Row[Any], now: Micros, double: Collection[Pair], assumed: Collection[Pair]
) -> int:
    rows = _created(notice) if notice.kind == "contacts" else _consents(notice, double, assumed)
    stage(connection, "told", _TOLD)
    connection.execute(sa.insert(_STAGED).from_select([c.name for c in _STAGED.c], rows))
    weigh(connection, "told")
    intake = reserve_ids(connection, t.intake, 1)[0]
    connection.execute(t.intake.insert().values(id=intake, received_at=now, source=SOURCE, n=0, history=notice.history))
    staged = _STAGED.c
    values = (staged.occurred_at, staged.hash64, staged.kind, staged.contact_id, as_document(staged.props))
    events = sa.select(*values, sa.literal(intake)).order_by(staged.occurred_at, staged.hash64)
    names = ("occurred_at", "hash64", "kind", "contact_id", "props", "intake_id")
    insert_select(connection, t.event, names, events, ignore_conflicts=True)
    lay_by_contact(connection, "told")
    n = connection.execute(_ARRIVE, {"intake": intake}).rowcount
    this = t.intake.c.id == intake
    connection.execute(t.intake.update().where(this).values(n=n) if n else t.intake.delete().where(this))
    return int(n)


_ARRIVE = sa.text(
    """INSERT INTO events.arrival (intake_id, occurred_at, hash64)
       SELECT :intake, o.occurred_at, o.hash64 FROM told o
       JOIN events.event e ON e.occurred_at = o.occurred_at AND e.hash64 = o.hash64 AND e.intake_id = :intake"""
)


# An event's key is below zero and its own: four times the row's id, and what it says.


def _created(notice: sa.Row[Any]) -> sa.Select[Any]:
    c = t.contact.c
    return sa.select(c.created_at, -4 * c.id, sa.literal(CREATED), c.id, sa.literal("{}")).where(
        c.id.between(notice.low, notice.high), c.erased_at.is_(None), c.merged_into.is_(None)
    )


def _consents(notice: sa.Row[Any], double: Collection[Pair], assumed: Collection[Pair]) -> sa.Select[Any]:
    """Words that changed whether somebody is subscribed, and each yes that wants to be confirmed."""
    c, b = t.consent.c, t.consent.alias("before").c
    before = (
        sa.select(b.state)
        .where(b.contact_id == c.contact_id, b.topic == c.topic, b.channel == c.channel)
        .where(sa.or_(b.at < c.at, sa.and_(b.at == c.at, b.id < c.id)))
        # Where two are needed, a yes does not take back what was confirmed.
        .where(sa.or_(b.state != "yes", sa.not_(_is_one_of(double, b))))
        .order_by(b.at.desc(), b.id.desc())
        .limit(1)
        .correlate(t.consent)
        .scalar_subquery()
    )
    asked = (
        sa.select(
            c.id, c.contact_id, c.topic, c.channel, c.state, c.at, sa.func.coalesce(before, "").label("before"),
            _number(_is_one_of(double, c)).label("is_double"), _number(_is_one_of(assumed, c)).label("is_assumed"),
        )
        .where(c.id.between(notice.low, notice.high))
        .subquery("asked")
    )  # fmt: skip
    a = asked.c
    is_in, was_in = _suffices(a.state, a.is_double), _suffices(a.before, a.is_double)
    leaves = sa.and_(a.state == "no", sa.or_(was_in, sa.and_(a.is_assumed == 1, a.before != "no")))
    asks = sa.and_(a.state == "yes", a.is_double == 1, sa.not_(was_in))
    kind = sa.case((sa.and_(is_in, sa.not_(was_in)), SUBSCRIBED), (leaves, UNSUBSCRIBED), (asks, SIGNED_UP))
    number = sa.case((kind == SUBSCRIBED, 1), (kind == UNSUBSCRIBED, 2), else_=3)
    props = sa.literal('{"channel":"') + a.channel + '","topic":"' + a.topic + '"}'
    return sa.select(a.at, -4 * a.id - number, kind, a.contact_id, props).where(kind.is_not(None))


def _is_one_of(pairs: Collection[Pair], consent: ReadOnlyColumnCollection[str, Any]) -> sa.ColumnElement[bool]:
    return sa.or_(sa.false(), *(is_pair(consent, pair) for pair in sorted(pairs)))


def _number(holds: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.case((holds, 1), else_=0)


def _suffices(state: sa.ColumnElement[Any], is_double: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.or_(state == "confirmed", sa.and_(state == "yes", is_double == 0))

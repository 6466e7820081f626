"""Slower: what a provider asks for by a 429, a used-up allowance or silence holds for all workers of the store.

Two things stand in a connector's row of `pace`, both in machine time. It *rests* until an instant: nothing of it begins
before. And after a 429 it goes at half the pace that it had, comes back to that in a minute, and goes on so until the
next 429, or until it is free again. What was in flight beside the first 429 tells nothing new: one cut a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.backoff import retry_after
from carillon.delivery.protocol import Accepted, Deferred, Outcome
from carillon.kernel.clock import MINUTE, SECOND, Micros
from carillon.store.tables import batch, pace, receipt, send
from carillon.store.writing import put_row

ONE_CUT: Micros = SECOND
MEASURED: Micros = 10 * SECOND
RECOVERY: Micros = MINUTE
"""So long it takes to come back from half the pace to the whole."""
FREE_AT = 2
"""At so many times the pace before the cut the provider is taken to have forgotten it."""
LEAST = 60
"""People a minute below which no 429 brings a connector that sends one by one; the others keep a batch a minute."""


@dataclass(frozen=True, slots=True)
class Slowed:
    """A connector that goes slower than it was told to."""

    connector: str
    rest_until: Micros | None
    per_minute: int | None


def heed(connection: Connection, connector: str, outcomes: Iterable[Outcome], machine_now: Micros, least: int) -> None:
    """Go slower, rest or take heart, as these outcomes of one hand-over say; `least` people a minute are kept."""
    outcomes = list(outcomes)
    ours = [o for o in outcomes if isinstance(o, Deferred) and o.because != "person"]
    taken = [o for o in outcomes if isinstance(o, Accepted)]
    if ours:
        if any(o.because == "busy" for o in ours):
            _cut(connection, connector, machine_now, least)
        _rest(connection, connector, machine_now, max((o.retry_after_s for o in ours if o.retry_after_s), default=None))
    elif taken:
        _take_heart(connection, connector, machine_now, max((o.rest_s for o in taken if o.rest_s), default=None))


def per_minute(row: sa.Row[tuple[object, ...]], machine_now: Micros) -> int | None:
    """How many people a minute a row of `pace` lets go now; None: it does not hold back."""
    if row.rate is None:
        return None
    back = (row.rate_before - row.rate) * (machine_now - row.cut_at) // RECOVERY
    now: int = row.rate + max(0, back)
    return None if now >= FREE_AT * row.rate_before else now


def slowed(
    connection: Connection, machine_now: Micros, connectors: Iterable[str] | None = None
) -> Mapping[str, Slowed]:
    """Those of the connectors (None: of all) that rest or go slower now."""
    rows = connection.execute(_SLOWED, {"machine_now": machine_now}).all()
    among = {row.connector for row in rows}.intersection(connectors) if connectors is not None else None
    all_ = [
        Slowed(row.connector, row.rest_until if (row.rest_until or 0) > machine_now else None, per_minute(row, machine_now))
        for row in rows
        if among is None or row.connector in among
    ]  # fmt: skip
    return {one.connector: one for one in all_ if one.rest_until is not None or one.per_minute is not None}


_SLOWED = sa.select(pace.c.connector, pace.c.rest_until, pace.c.rate, pace.c.rate_before, pace.c.cut_at).where(
    sa.or_(pace.c.rate.is_not(None), pace.c.rest_until > sa.bindparam("machine_now"))
)


def rests(connector: sa.ColumnElement[str], machine_now: Micros | sa.BindParameter[Micros]) -> sa.ColumnElement[bool]:
    """Whether this connector rests, for a WHERE."""
    return sa.exists().where(pace.c.connector == connector, pace.c.rest_until > machine_now)


def _rest(connection: Connection, connector: str, machine_now: Micros, asked_s: float | None) -> None:
    """Nothing begins before this rest is over; the next in a row is twice as long, unless the provider says how long."""
    row = _row(connection, connector, machine_now)
    is_first = row.rest_until is None or row.rest_until <= machine_now
    strikes = row.strikes + is_first
    until = machine_now + retry_after(connector, strikes, asked_s)
    if is_first or (asked_s is not None and until > row.rest_until):
        connection.execute(_of(connector).values(rest_until=until, strikes=strikes))


def _cut(connection: Connection, connector: str, machine_now: Micros, least: int) -> None:
    row = _row(connection, connector, machine_now)
    if row.cut_at is not None and machine_now - row.cut_at < ONE_CUT:
        return
    known = [pace_ for pace_ in (per_minute(row, machine_now), _measured(connection, connector, machine_now)) if pace_]
    if known:
        before = min(known)
        rate = max(before // 2, least)
        connection.execute(_of(connector).values(rate=rate, rate_before=max(before, 2 * rate), cut_at=machine_now))


def _take_heart(connection: Connection, connector: str, machine_now: Micros, rest_s: float | None) -> None:
    connection.execute(_HEARTENED, {"its_connector": connector})
    if rest_s is not None:
        row = _row(connection, connector, machine_now)
        until = machine_now + retry_after(connector, 1, rest_s)
        if row.rest_until is None or row.rest_until < until:
            connection.execute(_of(connector).values(rest_until=until))


_HEARTENED = (
    sa.update(pace).where(pace.c.connector == sa.bindparam("its_connector"), pace.c.strikes > 0).values(strikes=0)
)


def _measured(connection: Connection, connector: str, machine_now: Micros) -> int | None:
    """People a minute that the provider took of what was begun in the last seconds; None where it took nobody."""
    has_receipt = sa.exists().where(receipt.c.node_id == send.c.node_id, receipt.c.enrolment_id == send.c.enrolment_id)
    lately = sa.and_(batch.c.connector == connector, batch.c.begun_at > machine_now - MEASURED)
    row = connection.execute(
        sa.select(sa.func.count(), sa.func.min(batch.c.begun_at))
        .join_from(batch, send, send.c.batch_id == batch.c.id)
        .where(lately, send.c.outcome.is_(None), sa.or_(batch.c.state == "accepted", has_receipt))
    ).one()
    if not row[0]:
        return None
    return int(row[0] * MINUTE // max(machine_now - row[1], SECOND))


def _row(connection: Connection, connector: str, machine_now: Micros) -> sa.Row[tuple[object, ...]]:
    """The connector's row, held to the end of the transaction; made where it is missing."""
    put_row(connection, pace, {"connector": connector}, {"tokens": 0, "at": machine_now}, only_over=sa.false())
    p = pace.c
    return connection.execute(
        sa.select(p.rest_until, p.strikes, p.rate, p.rate_before, p.cut_at)
        .where(p.connector == connector)
        .with_for_update()
    ).one()


def _of(connector: str) -> sa.Update:
    return sa.update(pace).where(pace.c.connector == connector)

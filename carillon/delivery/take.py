"""Take due batches into hand: the most urgent first, each by one worker. Taking claims nothing; it only avoids that two
workers build the same bodies. What is not claimed before the hold is over may be taken by another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.limits import Pace
from carillon.delivery.model import LEASE, ReadyBatch
from carillon.delivery.pace import PACED, RESTING, Bucket, close_bucket, open_bucket, paces
from carillon.delivery.slower import rests, slowed
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from carillon.store.tables import batch, campaign, pace

TAKEN = (
    batch.c.id, batch.c.campaign_id, batch.c.node_id, batch.c.arm, batch.c.language, batch.c.channel, batch.c.sender,
    batch.c.connector, batch.c.n, batch.c.not_after, batch.c.priority, batch.c.due_at,
    batch.c.resend_at, batch.c.texts_at,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which batches this worker would work on, and how many of them."""

    worker: str
    connectors: tuple[str, ...]
    campaign_id: int | None
    now: Micros
    machine_now: Micros
    limit: int


def take(connection: Connection, wanted: Wanted) -> list[ReadyBatch]:
    """The next due batches within the connectors' pace, taken for this worker; best priority, then due instant, then id.

    Where the pace holds the next one back, or a rest of its connector, its `retry_at` says until when.
    """
    slow = slowed(connection, wanted.machine_now, wanted.connectors)
    resting = {name: one.rest_until for name, one in slow.items() if one.rest_until is not None}
    paced = {name: its for name, its in paces(connection).items() if name in wanted.connectors}
    free = [name for name in wanted.connectors if name not in paced and name not in slow]
    chosen = [row.id for row in _next(connection, wanted, free)] if free else []
    for name, until in sorted(resting.items()):
        _let_wait(connection, wanted, name, until)
    for name in sorted({*paced, *slow} - set(resting)):
        brake = slow[name].per_minute if name in slow else None
        bucket = open_bucket(connection, name, paced.get(name), wanted.machine_now, brake)
        chosen += _within(connection, bucket, wanted)
        close_bucket(connection, bucket, wanted.machine_now)
    if not chosen:
        return []
    hold = {"ids": chosen, "to_worker": wanted.worker, "until": wanted.machine_now + LEASE}
    taken = connection.execute(_TAKEN, hold).all()
    ordered = sorted(taken, key=lambda row: (-row.priority, row.due_at, row.id))
    return [ready_batch(row, paced.get(row.connector)) for row in ordered]


_TAKEN = (
    sa.update(batch)
    .where(batch.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(worker=sa.bindparam("to_worker"), lease_until=sa.bindparam("until"))
    .returning(*TAKEN)
)


def _next(connection: Connection, wanted: Wanted, connectors: Sequence[str]) -> Sequence[sa.Row[tuple[int, int]]]:
    """The next batches of these connectors that nobody has in hand; on PostgreSQL nobody else can take them meanwhile."""
    said = {"limit": wanted.limit, **_said(wanted, connectors)}
    return connection.execute(_free_batches(wanted.campaign_id is None), said).all()


def _said(wanted: Wanted, connectors: Sequence[str]) -> dict[str, object]:
    times = {"now": wanted.now, "machine_now": wanted.machine_now}
    return times | {"connectors": list(connectors), "campaign": wanted.campaign_id}


@cache
def _free_batches(is_of_all: bool) -> sa.Select[tuple[int, int]]:
    machine_now = sa.bindparam("machine_now", type_=sa.BigInteger)
    return (
        sa.select(batch.c.id, batch.c.n)
        .where(_is_free(is_of_all), may_go(machine_now))
        .order_by(batch.c.priority.desc(), batch.c.due_at, batch.c.id)
        .limit(sa.bindparam("limit"))
        .with_for_update(skip_locked=True)
    )


def _is_free(is_of_all: bool) -> sa.ColumnElement[bool]:
    """Due, of these connectors, of this campaign or of all, and in nobody's hand."""
    now, machine_now = (sa.bindparam(name, type_=sa.BigInteger) for name in ("now", "machine_now"))
    free = sa.or_(batch.c.lease_until.is_(None), batch.c.lease_until <= machine_now)
    mine = sa.true() if is_of_all else batch.c.campaign_id == sa.bindparam("campaign")
    return sa.and_(
        is_due(now, machine_now), free, batch.c.connector.in_(sa.bindparam("connectors", expanding=True)), mine
    )


def _let_wait(connection: Connection, wanted: Wanted, connector: str, until: Micros) -> None:
    """Write at the next batch of a connector that rests until when it waits."""
    waits = sa.select(batch.c.id).where(_is_free(wanted.campaign_id is None)).order_by(batch.c.due_at, batch.c.id)
    first = connection.scalar(waits.limit(1).with_for_update(skip_locked=True), _said(wanted, [connector]))
    if first is not None:
        connection.execute(sa.update(batch).where(batch.c.id == first).values(retry_at=until, note=RESTING))


def _within(connection: Connection, bucket: Bucket, wanted: Wanted) -> list[int]:
    """As many as the bucket holds; the first that it does not waits, and with it all behind."""
    chosen = []
    for row in _next(connection, wanted, [bucket.connector]):
        if not bucket.take(row.n):
            retry_at = wanted.machine_now + bucket.wait(row.n)
            connection.execute(sa.update(batch).where(batch.c.id == row.id).values(retry_at=retry_at, note=PACED))
            break
        chosen.append(row.id)
    return chosen


def paced_until(connection: Connection, wanted: Wanted) -> Micros | None:
    """When the next batch that only the pace, or a rest, holds back may be tried; None where there is none.

    Asked of the first in line of each connector: who stood there before and has others before them now was told an
    instant that may long be past.
    """
    said, machine_now = _said(wanted, wanted.connectors), sa.bindparam("machine_now", type_=sa.BigInteger)
    told = sa.or_(batch.c.note == RESTING, sa.and_(batch.c.note == PACED, may_go(machine_now)))
    place = sa.func.row_number().over(
        partition_by=batch.c.connector, order_by=(batch.c.priority.desc(), batch.c.due_at, batch.c.id)
    )
    waiting = sa.select(batch.c.retry_at, place.label("place")).where(_is_free(wanted.campaign_id is None), told)
    firsts = waiting.subquery()
    found: Micros | None = connection.scalar(sa.select(sa.func.min(firsts.c.retry_at)).where(firsts.c.place == 1), said)
    return found


def ready_batch(row: sa.Row[tuple[object, ...]], its: Pace | None) -> ReadyBatch:
    """The batch of a row of `TAKEN`."""
    return ReadyBatch(
        row.id, row.campaign_id, row.node_id, row.arm, row.language, Channel(row.channel), row.sender, row.connector,
        row.n, row.not_after, row.resend_at, its, row.texts_at,
    )  # fmt: skip


def put_back(connection: Connection, wishes: Sequence[tuple[int, str]]) -> list[None]:
    """Let go of batches that were taken and never claimed: (batch, worker)."""
    for batch_id, worker in wishes:
        connection.execute(_mine(batch_id, worker).values(worker=None, lease_until=None))
    return [None] * len(wishes)


def postpone(connection: Connection, wishes: Sequence[tuple[int, str, Micros, str]]) -> list[None]:
    """Put back batches whose bodies could not be built, for a while: (batch, worker, machine time, why)."""
    for batch_id, worker, retry_at, note in wishes:
        later = {"worker": None, "lease_until": None, "retry_at": retry_at, "note": note}
        connection.execute(_mine(batch_id, worker).values(**later))
    return [None] * len(wishes)


def _mine(batch_id: int, worker: str) -> sa.Update:
    return sa.update(batch).where(batch.c.id == batch_id, batch.c.state == "ready", batch.c.worker == worker)


Instant = Micros | sa.BindParameter[Micros]
"""In a statement that is made once an instant is a parameter."""


def is_due(now: Instant, machine_now: Instant) -> sa.ColumnElement[bool]:
    """Ready, due in campaign time, not too late, its conditions asked lately, and past its back-off in machine time.

    What only the pace or a rest held back is not told by its row: both may have changed since it was written.
    """
    return sa.and_(
        batch.c.state == "ready",
        batch.c.due_at <= now,
        sa.or_(batch.c.not_after.is_(None), batch.c.not_after > now),
        sa.or_(batch.c.retry_at.is_(None), batch.c.retry_at <= machine_now, batch.c.note.in_((PACED, RESTING))),
        sa.or_(batch.c.ask_at.is_(None), batch.c.ask_at > now),
    )


def may_go(machine_now: Instant) -> sa.ColumnElement[bool]:
    """The campaign runs, nobody holds the connector, and it does not rest."""
    stopped = sa.or_(
        campaign.c.operator_state != "running", campaign.c.hold_reason.is_not(None), campaign.c.wanted_state == "draft"
    )
    return sa.and_(
        ~sa.exists().where(campaign.c.id == batch.c.campaign_id, stopped).correlate(batch),
        ~sa.exists().where(pace.c.connector == batch.c.connector, pace.c.held_reason.is_not(None)),
        ~rests(batch.c.connector, machine_now),
    )

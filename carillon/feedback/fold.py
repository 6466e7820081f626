"""The fold: what arrived becomes state, once, whatever its order.

A slice takes whole intakes and folds exactly the rows that they inserted, in one transaction on the events part. Every
folded column is a count, a sum, a least, a greatest, or is computed anew from all clicks of a send, so that no order,
repetition or division of the same arrivals can change it. One lock: signals get their ids in the order of their commits,
and a reader's cursor never passes one that is still to come.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.feedback import responses, signals
from carillon.feedback.redemptions import fold_redemptions
from carillon.kernel.clock import Micros
from carillon.store import tables as t
from carillon.store.bulk import many
from carillon.store.engine import Store
from carillon.store.staging import stage, weigh
from carillon.store.writing import take_turn

SLICE = 200_000
"""Arrivals of one transaction: enough for set statements to pay, few enough that writers of events wait under a second
or two. An intake is never divided."""
MOST_INTAKES = 5_000

_LOCK = 0x6361_666F
"""PostgreSQL's advisory lock of folds; on SQLite the write lock of the part is held."""


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a fold took: whole intakes, their arrivals, and how many signals it left for others."""

    intakes: int = 0
    arrivals: int = 0
    signals: int = 0

    def __add__(self, other: FoldResult) -> FoldResult:
        return FoldResult(self.intakes + other.intakes, self.arrivals + other.arrivals, self.signals + other.signals)


def fold(store: Store, now: Micros, *, heard: Collection[str] | None = None) -> FoldResult:
    """Fold everything that has arrived, in slices; signals speak of the shop's events in `heard` (None: of all)."""
    total = FoldResult()
    while has_new(store):
        part = _fold_slice(store, now, heard)
        total += part
        if part.intakes == 0:  # another fold was faster
            break
    return total


def has_new(store: Store) -> bool:
    """Whether an intake waits to be folded; costs one look into an index that holds nothing else."""
    with store.read() as connection:
        return connection.scalar(sa.select(t.intake.c.id).where(t.intake.c.state == "new").limit(1)) is not None


def _fold_slice(store: Store, now: Micros, heard: Collection[str] | None) -> FoldResult:
    with store.write("events") as connection:
        take_turn(connection, _LOCK)
        taken = _take_intakes(connection)
        if not taken:
            return FoldResult()
        _stage_arrivals(connection, taken)
        arrivals = connection.execute(sa.text("SELECT count(*) FROM fresh")).scalar_one()
        for statement in (_STATISTICS, _PURCHASES):
            connection.execute(statement)
        fold_redemptions(connection)
        if connection.execute(_ANY_FEEDBACK).scalar() is not None:
            responses.fold_responses(connection)
        emitted = signals.emit(connection, now, heard)
        connection.execute(t.arrival.delete().where(t.arrival.c.intake_id.in_(many(taken))))
        return FoldResult(len(taken), arrivals, emitted)


def _take_intakes(connection: Connection) -> list[int]:
    """Mark the oldest new intakes folded, as many as fit into a slice (at least one), and return their ids."""
    waiting = connection.execute(
        sa.select(t.intake.c.id, t.intake.c.n)
        .where(t.intake.c.state == "new")
        .order_by(t.intake.c.id)
        .limit(MOST_INTAKES)
    ).all()
    chosen: list[int] = []
    room = SLICE
    for intake_id, n in waiting:
        if chosen and n > room:
            break
        chosen.append(intake_id)
        room -= n
    won = connection.execute(
        t.intake.update()
        .where(t.intake.c.state == "new", t.intake.c.id.in_(many(chosen)))
        .values(state="folded")
        .returning(t.intake.c.id)
    )
    return list(won.scalars())


def _stage_arrivals(connection: Connection, taken: list[int]) -> None:
    stage(connection, "fresh", _FRESH)
    arrived = (
        sa.select(
            t.event.c.occurred_at, t.event.c.hash64, t.event.c.kind, t.event.c.contact_id, t.event.c.node_id,
            t.event.c.enrolment_id, t.event.c.value_cents, t.intake.c.history,
            sa.case((t.event.c.kind.like("message.%"), 1), else_=0),
        )
        .join_from(t.arrival, t.event, _same_event())
        .join(t.intake, t.intake.c.id == t.arrival.c.intake_id)
        .where(t.arrival.c.intake_id.in_(many(taken)))
    )  # fmt: skip
    columns: list[sa.ColumnClause[object]] = [sa.column(name) for name in _FRESH_COLUMNS]
    connection.execute(sa.insert(sa.table("fresh", *columns)).from_select(columns, arrived))
    weigh(connection, "fresh")


def _same_event() -> sa.ColumnElement[bool]:
    return sa.and_(t.event.c.occurred_at == t.arrival.c.occurred_at, t.event.c.hash64 == t.arrival.c.hash64)


_FRESH = """occurred_at BIGINT, hash64 BIGINT, kind TEXT, contact_id BIGINT, node_id BIGINT, enrolment_id BIGINT,
            value_cents BIGINT, history BIGINT, is_feedback INTEGER"""
_FRESH_COLUMNS = ("occurred_at", "hash64", "kind", "contact_id", "node_id", "enrolment_id", "value_cents", "history",
                  "is_feedback")  # fmt: skip

_ANY_FEEDBACK = sa.text("SELECT 1 FROM fresh WHERE is_feedback = 1 LIMIT 1")

_STATISTICS = sa.text(
    """INSERT INTO events.contact_stat AS s (kind, contact_id, n, value_cents, first_at, last_at)
       SELECT kind, contact_id, count(*), CAST(coalesce(sum(value_cents), 0) AS BIGINT),
              min(occurred_at), max(occurred_at)
       FROM fresh WHERE contact_id IS NOT NULL AND is_feedback = 0
       GROUP BY kind, contact_id
       ON CONFLICT (kind, contact_id) DO UPDATE SET
         n = s.n + excluded.n,
         value_cents = s.value_cents + excluded.value_cents,
         first_at = CASE WHEN excluded.first_at < s.first_at THEN excluded.first_at ELSE s.first_at END,
         last_at = CASE WHEN excluded.last_at > s.last_at THEN excluded.last_at ELSE s.last_at END"""
)
_PURCHASES = sa.text(
    """INSERT INTO events.purchase (contact_id, occurred_at, hash64, kind, value_cents)
       SELECT contact_id, occurred_at, hash64, kind, value_cents
       FROM fresh WHERE contact_id IS NOT NULL AND value_cents IS NOT NULL AND is_feedback = 0
       ON CONFLICT (contact_id, occurred_at, hash64) DO NOTHING"""
)

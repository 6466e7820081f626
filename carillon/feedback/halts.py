"""Halts: a report that nothing of a sender arrives any more holds its connector, as a refusal on the spot would.

Providers take messages of a suspended account or an unregistered number and tell only later that they never left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.holds import hold, resumed_at
from carillon.journey.cursor import advance, span
from carillon.kernel.clock import Micros
from carillon.store import tables as t
from carillon.store.engine import Store

CONSUMER = "halts"


def apply_halts(store: Store) -> list[str]:
    """Hold the connectors of which reports say so; those handed over before a person said `resume` say nothing."""
    with store.read() as connection:
        if not _found(connection, *span(connection, CONSUMER)):
            return []
    with store.write("ledger") as connection:
        low, high = span(connection, CONSUMER)
        held = {s.subject for s in _found(connection, low, high) if _holds(connection, s)}
        advance(connection, CONSUMER, high)
        return sorted(held)


def _holds(connection: Connection, signal: Any) -> bool:
    its = sa.select(t.batch.c.begun_at).where(t.batch.c.id == int(signal.thing))
    begun_at: Micros = connection.scalar(its) or 0
    resumed = resumed_at(connection, signal.subject)
    if resumed is not None and begun_at <= resumed:
        return False
    hold(connection, signal.subject, signal.reason, begun_at)
    return True


def _found(connection: Connection, low: int, high: int) -> Sequence[Any]:
    s = t.signal.c
    halts = sa.and_(s.kind == "halt", s.id > low, s.id <= high)
    return connection.execute(sa.select(t.signal).where(halts).order_by(s.id)).all()

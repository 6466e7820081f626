"""How far a consumer of the ledger has read the signals, moved in the transaction of what it did about them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t
from carillon.store.writing import put_row


def span(connection: Connection, consumer: str) -> tuple[int, int]:
    """(low, high]: the signals that this consumer has not seen; equal when there are none."""
    low = connection.scalar(sa.select(t.ledger_cursor.c.signal_id).where(t.ledger_cursor.c.consumer == consumer))
    high = connection.scalar(sa.select(sa.func.max(t.signal.c.id)))
    return low or 0, max(high or 0, low or 0)


def advance(connection: Connection, consumer: str, high: int) -> None:
    """Remember that everything up to `high` was seen."""
    put_row(connection, t.ledger_cursor, {"consumer": consumer}, {"signal_id": high})

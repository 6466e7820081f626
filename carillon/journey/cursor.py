"""How far a consumer of the ledger has read the signals (or the contacts' changes), moved in the transaction of what it
did about them.

Both get their ids in the order of their commits: a fold, and whoever tells contacts anew, holds a lock to the end.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t
from carillon.store.writing import put_row


def span(connection: Connection, consumer: str) -> tuple[int, int]:
    """(low, high]: the signals that this consumer has not seen; equal when there are none."""
    return _span(connection, consumer, t.signal.c.id)


def changes(connection: Connection, consumer: str) -> tuple[int, int]:
    """(low, high]: the changes of contacts that this consumer has not seen, which keeps its place beside its signals'."""
    return _span(connection, consumer, t.contact_change.c.id)


def _span(connection: Connection, consumer: str, ids: sa.Column[int]) -> tuple[int, int]:
    low = connection.scalar(sa.select(t.ledger_cursor.c.signal_id).where(t.ledger_cursor.c.consumer == consumer))
    high = connection.scalar(sa.select(sa.func.max(ids)))
    return low or 0, max(high or 0, low or 0)


def advance(connection: Connection, consumer: str, high: int) -> None:
    """Remember that everything up to `high` was seen."""
    put_row(connection, t.ledger_cursor, {"consumer": consumer}, {"signal_id": high})

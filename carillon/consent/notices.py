"""What core leaves to be told as events: which rows a transaction made. One small row a transaction, whatever its size."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t
from carillon.store.engine import Store


def leave_notice(
    connection: Connection, kind: Literal["contacts", "consents"], low: int, high: int, *, history: bool
) -> None:
    """Say in the transaction that made these rows that they are there; their ids lie between, and no others do."""
    connection.execute(t.notice.insert().values(kind=kind, low=low, high=high, history=int(history)))


def has_notices(store: Store) -> bool:
    """Whether something waits to be told."""
    with store.read() as connection:
        return connection.scalar(sa.select(t.notice.c.id).limit(1)) is not None

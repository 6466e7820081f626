"""Whose turn it is to decide: one pass at a time in the whole workspace, on PostgreSQL with slices on several connections.

A pass holds its turn in a transaction; who works under it looks, in a transaction of their own, whether it still does.
So neither a lost connection nor a worker that stood still for long lets two passes decide at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store.engine import Store
from carillon.store.writing import join_turns, take_turn

PASS_LOCK = 0x43524C4E
"""PostgreSQL advisory lock of whoever decides ("CRLN"); on SQLite the ledger's write lock is the same."""
_UNDER_LOCK = 0x43524C4F
"""Shared by those who work under the turn of another connection."""

_HOLDS = sa.text(
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = :key AND objsubid = 1"
    " AND granted AND pid = :holder AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)


class TurnLostError(RuntimeError):
    """The connection that held the turn is gone: nothing may be decided under it any more."""


def take_pass(connection: Connection) -> None:
    """Be the only one who decides, to the end of this transaction."""
    take_turn(connection, PASS_LOCK)
    take_turn(connection, _UNDER_LOCK)  # behind whoever still writes under a turn that was lost


@contextmanager
def shared_pass(store: Store) -> Iterator[int]:
    """Be the only one who decides, on other connections (PostgreSQL): they work under the holder that is yielded."""
    with store.write("ledger") as connection:
        take_turn(connection, PASS_LOCK)
        with store.write("ledger") as other:
            take_turn(other, _UNDER_LOCK)
        yield int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def work_under(connection: Connection, holder: int) -> None:
    """Decide in this transaction under a turn that another connection holds."""
    join_turns(connection, _UNDER_LOCK)
    if not connection.scalar(_HOLDS, {"key": PASS_LOCK, "holder": holder}):
        raise TurnLostError("the connection that held the turn to decide is gone")

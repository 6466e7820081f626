"""Whose turn it is to decide: one pass at a time in the whole workspace, with slices on several connections.

On PostgreSQL a pass holds its turn in a transaction; who works under it looks, in a transaction of their own, whether it
still does. Each pass has a number, which the ledger knows: on SQLite, who asked under an older one may not write what was
decided. So neither a lost connection nor a worker that stood still for long lets two passes decide at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.writing import join_turns, put_row, take_turn

PASS_LOCK = 0x43524C4E
"""PostgreSQL advisory lock of whoever decides ("CRLN")."""
_UNDER_LOCK = 0x43524C4F
"""Shared by those who work under the turn of another connection."""

_PASS = "pass"
"""The lease that says whose turn it was last: its holder is the pass's number, and it never lasts."""

_HOLDS = sa.text(
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = :key AND objsubid = 1"
    " AND granted AND pid = :holder AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)


class TurnLostError(RuntimeError):
    """The turn is another's by now, or nobody's: nothing may be decided under it any more."""


def take_pass(connection: Connection) -> None:
    """Be the only one who decides, to the end of this transaction."""
    take_turn(connection, PASS_LOCK)
    take_turn(connection, _UNDER_LOCK)  # behind whoever still writes under a turn that was lost
    _next_number(connection)  # whoever asked before learns that somebody has been here


def number_of_pass(store: Store) -> int:
    """Begin a pass that asks in some transactions and writes in others (SQLite); returns its number."""
    with store.write("ledger") as connection:
        return _next_number(connection)


def still_ours(connection: Connection, number: int) -> None:
    """Raise TurnLostError where another pass has decided since this one began (SQLite)."""
    row = t.lease.c
    if connection.scalar(sa.select(row.holder).where(row.name == _PASS)) != str(number):
        raise TurnLostError("another pass has decided meanwhile")


def _next_number(connection: Connection) -> int:
    row = t.lease.c
    before = connection.scalar(sa.select(row.holder).where(row.name == _PASS))
    number = int(before or 0) + 1
    put_row(connection, t.lease, {"name": _PASS}, {"holder": str(number), "until": 0})
    return number


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

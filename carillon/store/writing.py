"""Two things that each writer needs and that the stores spell differently: a row that may stand already, and a turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store.conflict import or_change
from carillon.store.engine import rowcount


def put_row(
    connection: Connection, table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any],
    *, only_over: sa.ColumnElement[bool] | None = None,
) -> int:  # fmt: skip
    """Insert the row, or set its values where the key stands already; returns 1 when it was written.

    `only_over` says which standing row may be overwritten; another one is left alone, and 0 returned.
    """
    insert = sa.insert(table).values({**key, **values})
    return rowcount(connection.execute(or_change(insert, list(key), values, only_over)))


def made_first(connection: Connection, select: sa.Select[Any], name: str) -> sa.CTE | sa.Subquery:
    """The Select as what an UPDATE reads from."""
    if connection.dialect.name == "postgresql":
        # Else it holds on to every row that the Select reads, and so joins tables that nothing of it asks for.
        return select.cte(name).prefix_with("MATERIALIZED")
    return select.subquery(name)  # the driver counts no rows of a statement that begins with WITH


def place_of(connection: Connection, table: sa.Table) -> sa.ColumnElement[Any]:
    """Where a row of the table lies, for the one statement that reads it and changes it: no index is asked for it again.

    On PostgreSQL a row that another changes meanwhile lies elsewhere, and is left alone.
    """
    if connection.dialect.name == "postgresql":
        place: sa.ColumnClause[Any] = sa.column("ctid")
        place.table = table
        return place
    return table.c.id


def take_turn(connection: Connection, lock: int) -> None:
    """Wait until no other transaction holds this lock, and hold it to the end of ours.

    On SQLite a writing transaction is alone in its part already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def join_turns(connection: Connection, lock: int) -> None:
    """Wait for whoever took this turn alone, and let nobody take it alone before the end of our transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(lock)))

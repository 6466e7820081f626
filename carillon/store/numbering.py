"""Rows number themselves; after a restore they must not come upon numbers that were given before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection


def skip_numbers(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert this row, whose `id` lies far ahead: the table numbers its next rows from there on."""
    connection.execute(sa.insert(table).values(**row))
    if connection.dialect.name == "postgresql":
        sequence = sa.func.pg_get_serial_sequence(table.fullname, "id")
        connection.execute(sa.select(sa.func.setval(sequence, row["id"])))

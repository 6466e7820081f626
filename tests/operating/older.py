"""A store as an older Carillon left it: the same rows, in the tables of that time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t
from carillon.store.engine import PARTS, Part, Store
from carillon.store.migrate import migrate_part, revisions_of

Layout = Mapping[Part, str]


def layouts() -> list[Layout]:
    """Every age of the store but the newest: all parts at their first revision, then at their second, and so on."""
    chains = {part: [s.revision for s in revisions_of(part)[1].walk_revisions()][::-1] for part in PARTS}
    ages = range(max(map(len, chains.values())) - 1)
    return [{part: chain[min(age, len(chain) - 1)] for part, chain in chains.items()} for age in ages]


def set_back(store: Store, layout: Layout) -> None:
    """Give the store this older layout, in its place, with all rows and columns that were there then."""
    with store.read() as connection:
        rows = {table: _rows(connection, table) for table in t.metadata.sorted_tables}
    for part, revision in layout.items():
        with store.write(part) as connection:
            _clear(connection, part)
        with store.write(part) as connection:
            migrate_part(connection, part, revision)
        with store.write(part) as connection:
            for table, kept in rows.items():
                if table.schema == part and kept:
                    _fill(connection, table, _as_once(kept, rows[t.batch]) if table is t.send else kept)
    store.close()


def _rows(connection: Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(sa.select(table))]


def _clear(connection: Connection, part: Part) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP SCHEMA {part} CASCADE")
        return
    for name in sa.inspect(connection).get_table_names(schema=part):
        connection.exec_driver_sql(f"DROP TABLE {part}.{name}")


def _as_once(sends: list[dict[str, Any]], batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each send as it was written before it left to its batch when it was decided, and to its outcome that it is a ghost."""
    decided = {batch["id"]: batch["decided_at"] for batch in batches}
    return [
        send | {"ghost": int(send["outcome"] == "ghost"), "decided_at": send["decided_at"] or decided[send["batch_id"]]}
        for send in sends
    ]


def _fill(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    seen = sa.inspect(connection)
    if table.name not in seen.get_table_names(schema=table.schema):
        return
    columns = {column["name"]: column["type"] for column in seen.get_columns(table.name, schema=table.schema)}
    # A channel was a word before it was a number, and `ghost` is no column of ours any more.
    was_text = {name for name, kind in columns.items() if isinstance(kind, sa.String)}
    kinds = {c.name: sa.String() if c.name in was_text else c.type for c in table.c if c.name in columns}
    there = sa.table(
        table.name,
        *(sa.column(name, kinds.get(name, columns[name])) for name in columns if name in rows[0]),
        schema=table.schema,
    )
    connection.execute(there.insert(), [{k: v for k, v in row.items() if k in columns} for row in rows])
    if connection.dialect.name == "postgresql" and "id" in columns:
        sequence = sa.func.pg_get_serial_sequence(table.fullname, "id")
        newest = max(row["id"] for row in rows if row["id"] is not None)
        connection.execute(sa.select(sa.func.setval(sequence, max(newest, 1))).where(sequence.is_not(None)))

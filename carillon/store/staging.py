"""Temporary tables of one transaction: the way in which columns from outside and slices of a part meet set statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from carillon.store.putting import put


def stage(connection: Connection, name: str, columns: str) -> None:
    """An empty temporary table in this transaction; `columns` as in CREATE TABLE, in types both stores know."""
    if connection.dialect.name == "sqlite":
        # Made once a connection: each new table would make SQLite prepare all its statements again.
        connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns})")
        connection.exec_driver_sql(f"DELETE FROM temp.{name}")
    else:
        connection.exec_driver_sql(f"CREATE TEMP TABLE {name} ({columns}) ON COMMIT DROP")


def fill(connection: Connection, name: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Put rows from outside into a staged table, by each store's fastest door."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        put(driver, f"INSERT INTO temp.{name} ({', '.join(columns)})", len(columns), rows)
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def weigh(connection: Connection, name: str) -> None:
    """Tell PostgreSQL's planner how large a staged table is; SQLite needs no telling."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"ANALYZE {name}")


def weigh_roughly(connection: Connection, name: str) -> None:
    """The same of a large table that PostgreSQL weighs by itself soon, by 3,000 of its rows instead of 30,000."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL default_statistics_target = 10")
        connection.exec_driver_sql(f"ANALYZE {name}")
        connection.exec_driver_sql("RESET default_statistics_target")


def unstage(connection: Connection, *names: str) -> None:
    """Forget staged tables before the end of the transaction, so that it may stage them anew."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP TABLE {', '.join(names)}")

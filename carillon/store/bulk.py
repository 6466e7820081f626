"""Many rows at once, fast on both stores: executemany on SQLite's own connection, COPY on PostgreSQL.

Values are as stored: instants in microseconds, JSON columns as JSON text. All of it runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from carillon.store.conflict import excluded, or_change, or_leave
from carillon.store.putting import Row, put

_many_names = count()


def insert_rows(
    connection: Connection, table: sa.Table, columns: Sequence[str], rows: Iterable[Row], *, ignore_conflicts: bool = False
) -> int:  # fmt: skip
    """Insert the rows and return how many were really inserted; conflicting ones are left out where that is asked for."""
    if connection.dialect.name == "sqlite":
        # FAIL: the transaction ends there as after ABORT, but no page is copied to undo the statement alone.
        verb = f"INSERT OR {'IGNORE' if ignore_conflicts else 'FAIL'}"
        return put(_raw(connection), f"{verb} INTO {_named(table, columns)}", len(columns), rows)
    if not ignore_conflicts:
        return _copy(connection, _named(table, columns), rows)
    with staged_rows(connection, table, columns, rows) as staged:
        select = f"SELECT {_names(columns)} FROM {staged.name}"
        return connection.exec_driver_sql(
            f"INSERT INTO {_named(table, columns)} {select} ON CONFLICT DO NOTHING"
        ).rowcount


def update_rows(
    connection: Connection, table: sa.Table, key: Sequence[str], columns: Sequence[str], rows: Iterable[Row]
) -> int:
    """Set `columns` of the rows with these keys; each row is its key, then its values. Returns how many were found."""
    if connection.dialect.name == "sqlite":
        sets = ", ".join(f'"{name}" = ?{number}' for number, name in enumerate(columns, len(key) + 1))
        keys = " AND ".join(f'"{name}" = ?{number}' for number, name in enumerate(key, 1))
        cursor = _raw(connection).executemany(f"UPDATE {_full(table)} SET {sets} WHERE {keys}", rows)
        return max(int(cursor.rowcount), 0)
    with staged_rows(connection, table, (*key, *columns), rows) as staged:
        sets = ", ".join(f'"{name}" = staged."{name}"' for name in columns)
        keys = " AND ".join(f'target."{name}" = staged."{name}"' for name in key)
        return connection.exec_driver_sql(
            f"UPDATE {_full(table)} AS target SET {sets} FROM {staged.name} AS staged WHERE {keys}"
        ).rowcount


@contextmanager
def staged_rows(
    connection: Connection, table: sa.Table, columns: Sequence[str], rows: Iterable[Row]
) -> Iterator[sa.TableClause]:
    """The rows in a temporary table with `table`'s column types, to join with; gone afterwards."""
    # The same name each time: the statements that read it stay prepared.
    staged = sa.table(f"staged_{table.name}", *(sa.column(name, table.c[name].type) for name in columns))
    like = f"SELECT {_names(columns)} FROM {_full(table)} WHERE 1 = 0"
    connection.exec_driver_sql(f"CREATE TEMP TABLE {staged.name} AS {like}")
    if connection.dialect.name == "sqlite":
        put(_raw(connection), f"INSERT INTO temp.{staged.name}", len(columns), rows)
    else:
        _copy(connection, f"{staged.name} ({_names(columns)})", rows)
    yield staged
    connection.exec_driver_sql(f"DROP TABLE {staged.name}")  # after an error the rollback takes it away


def insert_select(
    connection: Connection, table: sa.Table, columns: Sequence[str], select: sa.Select[Any], *, ignore_conflicts: bool = False
) -> int:  # fmt: skip
    """`INSERT … SELECT`; returns how many rows were inserted."""
    statement = sa.insert(table).from_select(list(columns), _parsable(select))
    if ignore_conflicts:
        statement = or_leave(statement)
    # SQLAlchemy keeps the count of an INSERT only where it is told to.
    return max(connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount, 0)


def upsert_select(
    connection: Connection, table: sa.Table, columns: Sequence[str], select: sa.Select[Any], *, key: Sequence[str],
    merged: Callable[[Any, Any], dict[str, sa.ColumnElement[Any]]] | None = None,
) -> int:  # fmt: skip
    """`INSERT … SELECT`, and where the key stands already its row takes the new values; returns how many were written.

    `merged` makes its values of the columns that stand there and of the new ones.
    """
    new = excluded(table)
    changed = {name: new[name] for name in columns if name not in key} if merged is None else merged(table.c, new)
    statement = or_change(sa.insert(table).from_select(list(columns), _parsable(select)), key, changed)
    return max(connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount, 0)


def reserve_ids(connection: Connection, table: sa.Table, n: int) -> Sequence[int]:
    """`n` fresh ids of a table that numbers its rows itself; nobody else gets them."""
    if connection.dialect.name == "sqlite":  # the caller holds this part's only write lock
        newest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0))).scalar_one()
        return range(newest + 1, newest + 1 + n)
    sequence = f"pg_get_serial_sequence('{_full(table)}', 'id')"
    statement = f"SELECT nextval({sequence}) FROM generate_series(1, {int(n)})"
    return connection.exec_driver_sql(statement).scalars().all()


class _Many(FunctionElement[Any]):
    """One parameter that holds many values, as rows."""

    inherit_cache = True
    name = "many"


@compiles(_Many, "sqlite")
def _many_on_sqlite(element: _Many, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(_Many, "postgresql")
def _many_on_postgresql(element: _Many, compiler: Any, **kw: Any) -> str:
    return f"(SELECT unnest({compiler.process(element.clauses, **kw)}) AS value)"


class _Values(sa.types.TypeDecorator[Sequence[Any]]):
    """A list of values as one parameter: JSON text on SQLite, an array on PostgreSQL."""

    impl = sa.types.String
    cache_ok = True

    def __init__(self, kind: type[int] | type[str]) -> None:
        super().__init__()
        self.kind = kind

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.String())
        return dialect.type_descriptor(sa.ARRAY(sa.BigInteger() if self.kind is int else sa.String()))

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        if dialect.name == "sqlite" and value is not None:
            import orjson

            return orjson.dumps(list(value)).decode()
        return value if value is None else list(value)


def many(values: Iterable[int] | Iterable[str], kind: type[int] | type[str] = int) -> sa.Select[Any]:
    """`column.in_(many(ids))`: any number of values in one parameter, so that the statement stays the same."""
    rows = many_rows(values, kind)
    return sa.select(rows.c.value)


def many_rows(values: Iterable[int] | Iterable[str], kind: type[int] | type[str] = int) -> Any:
    """The same as a table with one column `value`, to select from and join with."""
    parameter = sa.bindparam(None, list(values), type_=_Values(kind), unique=True)
    value: sa.ColumnClause[Any] = sa.column("value", sa.BigInteger() if kind is int else sa.String())
    return _Many(parameter).table_valued(value, name=f"many_{next(_many_names) % 8}")


def _raw(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _full(table: sa.Table) -> str:
    return f'"{table.schema}"."{table.name}"' if table.schema else f'"{table.name}"'


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _named(table: sa.Table, columns: Sequence[str]) -> str:
    return f"{_full(table)} ({_names(columns)})"


def _copy(connection: Connection, target: str, rows: Iterable[Row]) -> int:
    n = 0
    with _raw(connection).cursor() as cursor:
        with cursor.copy(f"COPY {target} FROM STDIN") as copy:
            write = copy.write_row
            for row in rows:
                write(row)
        n = cursor.rowcount
    return cast(int, n)


def _parsable(select: sa.Select[Any]) -> sa.Select[Any]:
    # SQLite reads `SELECT … FROM a ON CONFLICT` as a join's ON: a WHERE between them ends the doubt.
    return select if select._where_criteria else select.where(sa.true())

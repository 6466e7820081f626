"""`ON CONFLICT` of an INSERT, of which both stores keep what it compiles to.

SQLAlchemy's own compiles each of them anew every time, since values may lie in it as they are; here each is a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.sql.visitors import InternalTraversal


class OnConflict(ClauseElement):
    """What becomes of a row whose key stands already: nothing, or these columns change where `only_over` holds."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy reads it
        ("key", InternalTraversal.dp_string_list),
        ("changed", InternalTraversal.dp_dml_ordered_values),
        ("only_over", InternalTraversal.dp_clauseelement),
    ]

    def __init__(
        self,
        key: Sequence[str] = (),
        changed: Sequence[tuple[str, sa.ColumnElement[Any]]] = (),
        only_over: sa.ColumnElement[bool] | None = None,
    ) -> None:
        self.key, self.changed, self.only_over = list(key), list(changed), only_over


def or_leave(insert: sa.Insert) -> sa.Insert:
    """The INSERT that leaves out a row whose key stands already."""
    return _with(insert, OnConflict())


def or_change(
    insert: sa.Insert, key: Sequence[str], changed: Mapping[str, Any], only_over: sa.ColumnElement[bool] | None = None
) -> sa.Insert:
    """The INSERT that changes these columns of a row whose key stands already, if `only_over` holds of it."""
    columns = insert.table.c
    values = [(name, _as_parameter(value, columns[name].type)) for name, value in changed.items()]
    return _with(insert, OnConflict(key, values, only_over))


def excluded(table: sa.Table) -> Any:
    """The columns of the row that would have been inserted."""
    return sa.alias(table, name="excluded").c


def _with(insert: sa.Insert, clause: OnConflict) -> sa.Insert:
    made = insert._generate()
    made._post_values_clause = clause
    return made


def _as_parameter(value: Any, type_: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:
    return value if isinstance(value, sa.ColumnElement) else sa.bindparam(None, value, type_=type_, unique=True)


@compiles(OnConflict)
def _compiled(clause: OnConflict, compiler: Any, **kw: Any) -> str:
    if not clause.key:
        return "ON CONFLICT DO NOTHING"
    kw |= {"use_schema": False}
    quote = compiler.preparer.quote
    key = ", ".join(map(quote, clause.key))
    sets = ", ".join(f"{quote(name)} = {compiler.process(value.self_group(), **kw)}" for name, value in clause.changed)
    text = f"ON CONFLICT ({key}) DO UPDATE SET {sets}"
    if clause.only_over is None:
        return text
    return f"{text} WHERE {compiler.process(clause.only_over, include_table=True, **kw)}"

"""A thousand rows as one text: a column of a batch leaves the store in one piece and is cut where it is needed.

A `Row` object a person costs more than the query. And on SQLite each row is a step for which the driver lets go of the
interpreter's lock and queues for it again, behind whoever is rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

SEPARATOR = "\x1f"
"""A unit separator: JSON escapes it inside texts and has none outside."""


class _Packed(FunctionElement[str]):
    """The values of a group as one text, NULLs left out."""

    inherit_cache = True
    name = "packed"
    type = sa.String()


def packed(value: sa.ColumnElement[Any], order: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """The values of a group, separated; in this order on PostgreSQL, on SQLite in that of the index that is read."""
    return _Packed(value, order)


@compiles(_Packed, "sqlite")
def _packed_on_sqlite(element: _Packed, compiler: Any, **kw: Any) -> str:
    value, _ = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"group_concat({value}, char(31))"


@compiles(_Packed, "postgresql")
def _packed_on_postgresql(element: _Packed, compiler: Any, **kw: Any) -> str:
    value, order = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"string_agg(CAST({value} AS text), chr(31) ORDER BY {order})"


def unpacked(text: str | None) -> list[str]:
    """The values of a packed column."""
    return text.split(SEPARATOR) if text else []


def unpacked_texts(text: str) -> list[str | None]:
    """The texts of a packed column of JSON texts and nulls."""
    found: list[str | None] = list(text[1:-1].split(f'"{SEPARATOR}"'))
    plain = text[0] == text[-1] == '"' and "\\" not in text and len(found) == text.count(SEPARATOR) + 1
    return found if plain else [orjson.loads(one) for one in text.split(SEPARATOR)]


def in_order(numbers: Sequence[int]) -> Sequence[int] | None:
    """The places of the numbers in ascending order; None where they stand so."""
    return None if list(numbers) == sorted(numbers) else sorted(range(len(numbers)), key=numbers.__getitem__)

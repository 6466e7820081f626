"""Rows as columns, for the way between two processes: a column of numbers or texts travels as one piece.

Row by row each value is an object that is written and made again, which costs both processes half a microsecond a row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

_BETWEEN = "\0"


@dataclass(frozen=True, slots=True)
class Same:
    """A column of one value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of whole numbers of 64 bits."""

    packed: bytes


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts."""

    joined: str


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows of equal width as columns; one is left as it is where nothing is won."""

    n: int
    columns: tuple[Same | Numbers | Texts | Sequence[Any], ...]


def pack(rows: Sequence[tuple[Any, ...]]) -> Packed:
    """The rows, all of one width, as few pieces."""
    return Packed(len(rows), tuple(map(_pack, zip(*rows, strict=True))))


def unpack(packed: Packed) -> list[tuple[Any, ...]]:
    """The rows again, as plain tuples."""
    return list(zip(*(_unpack(column, packed.n) for column in packed.columns), strict=True))


def _pack(column: tuple[Any, ...]) -> Same | Numbers | Texts | Sequence[Any]:
    kinds = set(map(type, column))
    if len(kinds) > 1:
        return column
    if column[0] == column[-1] and column.count(column[0]) == len(column):
        return Same(column[0])
    if kinds == {int}:
        try:
            return Numbers(array("q", column).tobytes())
        except OverflowError:
            return column
    if kinds == {str}:
        joined = _BETWEEN.join(column)
        return Texts(joined) if joined.count(_BETWEEN) == len(column) - 1 else column
    return column


def _unpack(column: Same | Numbers | Texts | Sequence[Any], n: int) -> Iterable[Any]:
    match column:
        case Same(value):
            return repeat(value, n)
        case Numbers(packed):
            return array("q", packed)
        case Texts(joined):
            return joined.split(_BETWEEN)
        case _:
            return column

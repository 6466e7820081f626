"""Rows as columns: a column of numbers or texts travels between two processes as one piece.

Row by row each value is an object that is written and made again, which costs both processes half a microsecond a row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
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
class Columnwise(Sequence[Any]):
    """Rows that are never laid out as rows: columns of equal length, at least one; each row is a plain tuple."""

    columns: tuple[Sequence[Any], ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: Any) -> Any:
        found = tuple(column[index] for column in self.columns)
        return Columnwise(found) if isinstance(index, slice) else found

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.columns, strict=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (len(self), *map(_pack, self.columns))


def columns_of(rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """The columns of rows, of which there is one at least."""
    return rows.columns if isinstance(rows, Columnwise) else tuple(zip(*rows, strict=True))


def joined(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """The rows of all parts, by column where all are."""
    if len(parts) == 1:
        return parts[0]
    columnwise = [part.columns for part in parts if isinstance(part, Columnwise)]
    if len(columnwise) < len(parts):
        return list(chain.from_iterable(parts))
    return Columnwise(tuple(list(chain.from_iterable(pieces)) for pieces in zip(*columnwise, strict=True)))


def _unpacked(n: int, *columns: Same | Numbers | Texts | Sequence[Any]) -> Columnwise:
    return Columnwise(tuple(_unpack(column, n) for column in columns))


def _pack(column: Sequence[Any]) -> Same | Numbers | Texts | Sequence[Any]:
    kinds = set(map(type, column))
    if len(kinds) != 1:
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


def _unpack(column: Same | Numbers | Texts | Sequence[Any], n: int) -> Sequence[Any]:
    match column:
        case Same(value):
            return [value] * n
        case Numbers(packed):
            return array("q", packed).tolist()
        case Texts(joined):
            return joined.split(_BETWEEN)
        case _:
            return column

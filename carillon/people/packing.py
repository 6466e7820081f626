"""Rows as columns: a column of numbers or texts travels between two processes as one piece.

Row by row each value is an object that is written and made again, which costs both processes half a microsecond a row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain, compress
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


Piece = Same | Numbers | Texts | Sequence[Any]


@dataclass(frozen=True, slots=True)
class Columnwise(Sequence[Any]):
    """Rows that are never laid out as rows: columns of equal length, unpacked each time one is asked for.

    A row is a plain tuple. A few thousand rows at a time stay in the processor's cache from the pipe to the store.
    """

    n: int
    pieces: tuple[Piece, ...]

    def column(self, number: int) -> Sequence[Any]:
        """The values of a column."""
        return _unpack(self.pieces[number], self.n)

    def values(self, number: int) -> Set[Any]:
        """The different values of a column."""
        piece = self.pieces[number]
        return {piece.value} if isinstance(piece, Same) else set(self.column(number))

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: Any) -> Any:
        rows = list(self)
        return rows[index]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*map(self.column, range(len(self.pieces))), strict=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return Columnwise, (self.n, tuple(map(_pack, self.pieces)))


@dataclass(frozen=True, slots=True)
class Parts(Sequence[Any]):
    """The rows of several, one behind the other."""

    parts: tuple[Columnwise, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return chain.from_iterable(self.parts)


def parts_of(rows: Sequence[Any]) -> tuple[Columnwise, ...]:
    """Rows as columns, in as many parts as they came."""
    match rows:
        case Parts(parts):
            return parts
        case Columnwise():
            return (rows,)
        case _:
            return (Columnwise(len(rows), tuple(zip(*rows, strict=True))),) if rows else ()


def joined(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """The rows of all parts in order; where one is columnwise, all are."""
    if any(isinstance(part, Columnwise) for part in parts):
        return Parts(tuple(piece for part in parts for piece in parts_of(part)))
    return list(chain.from_iterable(parts))


def with_money(part: Columnwise, kind: int, value: int) -> Set[str]:
    """The different kinds of the rows that have a value."""
    values = part.column(value)
    if None not in values:
        return part.values(kind)
    return set(compress(part.column(kind), (value is not None for value in values)))


def _pack(column: Piece) -> Piece:
    if isinstance(column, Same | Numbers | Texts):
        return column
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


def _unpack(column: Piece, n: int) -> Sequence[Any]:
    match column:
        case Same(value):
            return [value] * n
        case Numbers(packed):
            return array("q", packed).tolist()
        case Texts(joined):
            return joined.split(_BETWEEN)
        case _:
            return column

"""Rows as columns: a column of numbers or texts travels between two processes as one piece.

Row by row each value is an object that is written and made again, which costs both processes half a microsecond a row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence, Set
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
class Numbered(Sequence[str]):
    """A column of texts that come again and again, each by its number in a list that all columns of its kind share.

    `coined` are those that came up first in this column, at the list's end. Whoever receives columns of one list in the
    order in which they were sent has it, too (`received`).
    """

    numbers: array[int]
    texts: list[str]
    coined: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[str]:
        return map(self.texts.__getitem__, self.numbers)

    def __reduce__(self) -> tuple[Any, ...]:
        fresh = self.texts[self.coined.start : self.coined.stop]
        return Numbered, (self.numbers, fresh, range(len(fresh)))

    def received(self, texts: list[str]) -> Numbered:
        """The column as it was, of the list that the receiver has; what is new in the list is put there."""
        coined = range(len(texts), len(texts) + len(self.texts))
        texts.extend(self.texts)
        return Numbered(self.numbers, texts, coined)


class Numbering(dict[str, int]):
    """Gives texts their numbers, up to about `most` of them."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.texts: list[str] = []

    def __missing__(self, text: str) -> int:
        number = self[text] = len(self.texts)
        self.texts.append(text)
        return number

    def numbered(self, rows: Columnwise, number: int) -> Columnwise:
        """The rows, the texts of this column by numbers; as they are where there are too many."""
        known = len(self.texts)
        if known > self.most:
            return rows
        numbers = array("i", map(self.__getitem__, rows.column(number)))
        return rows.with_piece(number, Numbered(numbers, self.texts, range(known, len(self.texts))))


Piece = Same | Numbers | Texts | Numbered | Sequence[Any]


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

    def with_piece(self, number: int, piece: Piece) -> Columnwise:
        """The same rows with another column in this place."""
        return Columnwise(self.n, (*self.pieces[:number], piece, *self.pieces[number + 1 :]))

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


def _pack(column: Piece) -> Piece:
    if isinstance(column, Same | Numbers | Texts | Numbered):
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

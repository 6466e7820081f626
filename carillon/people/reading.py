"""From a chunk of columns to rows of ours: the part of an import that knows no store and can run in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Generic, NamedTuple, TypeVar

from carillon.people.fields import WHOLE, is_blank
from carillon.people.files import Chunk
from carillon.people.mapping import Bound
from carillon.people.packing import Columnwise

Row = TypeVar("Row")

_HUNDREDTH = Decimal("0.01")


class Refusal(NamedTuple):
    """A row that was not imported, or (`is_whole` off) a value of it that was left out."""

    row: int
    reason: str
    is_whole: bool = True


@dataclass(slots=True)
class Read(Generic[Row]):
    """What a chunk gave: rows, refusals, and the cells of refused rows for the file beside."""

    n: int
    rows: Sequence[Row]
    refusals: list[Refusal]
    cells: dict[int, list[Any]] = field(default_factory=dict)
    done: float = 0.0


class Columns:
    """The columns of a chunk as fields, read one by one; remembers why a row was refused."""

    def __init__(self, chunk: Chunk, bound: Bound) -> None:
        self.chunk, self.bound = chunk, bound
        self.refused: dict[int, str] = dict(chunk.unread)
        self.left_out: list[Refusal] = []

    def has(self, name: str) -> bool:
        return name in self.bound.fields

    def raw(self, name: str) -> Sequence[Any]:
        """The cells of a field as they stand in the file; of two columns, their pairs."""
        columns = [self.chunk.columns[column] for column in self.bound.fields[name]]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def read(
        self, name: str, reader: Callable[[Any], Any], *, is_needed: bool = False, refuses: bool = True,
        whole: Callable[[list[str]], list[Any]] | None = None,
    ) -> list[Any]:  # fmt: skip
        """The field's values, None where blank. What cannot be read refuses the row, or (`refuses` off) only the value.

        `whole` reads a column of texts at once, as `reader` reads each.
        """
        raw = self.raw(name)
        if len(self.bound.fields[name]) == 2:
            reader = _of_product(reader)
        read_one = _Seen(reader)
        try:
            if _repeats(raw):  # a value that was seen is not read again: 50 ns instead of a microsecond
                values = list(map(read_one.__getitem__, raw))
            elif isinstance(raw, list) and set(map(type, raw)) == {str} and "" not in raw:
                at_once = whole or WHOLE.get(reader)
                values = at_once(raw) if at_once else list(map(reader, raw))
            else:
                values = list(map(read_one.read, raw))
        except (ValueError, TypeError):  # TypeError: a list is no key
            values = [self._read_or_note(name, read_one.read, index, value, refuses) for index, value in enumerate(raw)]
        if is_needed and None in values:
            for index, value in enumerate(values):
                if value is None:
                    self.refused.setdefault(index, f"no {name}: {self.bound.column_of(name)} is empty")
        return values

    def _read_or_note(
        self, name: str, read_one: Callable[[Any], Any], index: int, value: Any, refuses: bool
    ) -> Any:  # fmt: skip
        try:
            return read_one(value)
        except ValueError as error:
            self.note(index, f"{name}: {error}", refuses)
            return None

    def note(self, index: int, reason: str, refuses: bool = True) -> None:
        """Refuse a row (the first reason stands), or only say what of it was left out."""
        if refuses:
            self.refused.setdefault(index, reason)
        else:
            self.left_out.append(Refusal(self.chunk.first + index, reason, is_whole=False))

    def given(self, rows: Iterable[Row | None]) -> Read[Row]:
        """The rows that were not refused, and the refusals with their cells."""
        if isinstance(rows, Columnwise) and not (self.refused or self.left_out):
            return Read(self.chunk.n, rows, [], {}, self.chunk.done)
        first, columns = self.chunk.first, list(self.chunk.columns.values())
        noted = {refusal.row - first for refusal in self.left_out} | self.refused.keys()
        cells = {first + index: [column[index] for column in columns] for index in noted}
        kept = [row for index, row in enumerate(rows) if row is not None and index not in self.refused]
        refusals = [Refusal(first + index, reason) for index, reason in self.refused.items()]
        refusals += [refusal for refusal in self.left_out if refusal.row - first not in self.refused]
        return Read(self.chunk.n, kept, sorted(refusals, key=lambda r: r.row), cells, self.chunk.done)


_SAMPLE = 500


def _repeats(raw: Sequence[Any]) -> bool:
    """Do values of a column come again, so that remembering them pays? 1, 1.0 and True would be one key, though."""
    some = raw[:: max(1, len(raw) // _SAMPLE)]
    return 2 * len(set(some)) < len(some) + 2 and len(set(map(type, raw)) - {type(None)}) == 1


class _Seen(dict[Any, Any]):
    """The values of one column, each read once."""

    def __init__(self, reader: Callable[[Any], Any]) -> None:
        super().__init__()
        self.reader = reader

    def __missing__(self, value: Any) -> Any:
        found = self[value] = self.read(value)
        return found

    def read(self, value: Any) -> Any:
        """The value, None where blank."""
        return None if value is None or value == "" or value != value else self.reader(value)


def _of_product(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads two amounts multiplied and rounded to a hundredth, halves to the even one."""

    def read(pair: tuple[Any, Any]) -> Any:
        if is_blank(pair[0]) or is_blank(pair[1]):
            return None
        try:
            amount = Decimal(str(pair[0])) * Decimal(str(pair[1]))
            return reader(amount.quantize(_HUNDREDTH, rounding=ROUND_HALF_EVEN))
        except InvalidOperation:
            raise ValueError(f"{pair[0]!r} * {pair[1]!r} is no product of numbers") from None

    return read

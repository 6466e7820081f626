"""From a chunk of columns to rows of ours: the part of an import that knows no store and can run in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

from carillon.people.fields import is_blank
from carillon.people.files import Chunk
from carillon.people.mapping import Bound

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not imported, or (`is_whole` off) a value of it that was left out."""

    row: int
    reason: str
    is_whole: bool = True


@dataclass(slots=True)
class Read(Generic[Row]):
    """What a chunk gave: rows, refusals, and the cells of refused rows for the file beside."""

    n: int
    rows: list[Row]
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
        """The cells of a field as they stand in the file; of two columns, their product rounded to cents."""
        columns = [self.chunk.columns[column] for column in self.bound.fields[name]]
        return columns[0] if len(columns) == 1 else list(map(_product, *columns))

    def read(
        self, name: str, reader: Callable[[Any], Any], *, is_needed: bool = False, refuses: bool = True
    ) -> list[Any]:
        """The field's values, None where blank. What cannot be read refuses the row, or (`refuses` off) only the value."""
        raw = self.raw(name)

        def read_one(value: Any) -> Any:
            return None if value is None or value == "" or value != value else reader(value)

        try:
            values = list(map(read_one, raw))
        except ValueError:
            values = [self._read_or_note(name, read_one, index, value, refuses) for index, value in enumerate(raw)]
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
        first, columns = self.chunk.first, list(self.chunk.columns.values())
        noted = {refusal.row - first for refusal in self.left_out} | self.refused.keys()
        cells = {first + index: [column[index] for column in columns] for index in noted}
        kept = [row for index, row in enumerate(rows) if row is not None and index not in self.refused]
        refusals = [Refusal(first + index, reason) for index, reason in self.refused.items()]
        refusals += [refusal for refusal in self.left_out if refusal.row - first not in self.refused]
        return Read(self.chunk.n, kept, sorted(refusals, key=lambda r: r.row), cells, self.chunk.done)


def _product(left: Any, right: Any) -> Any:
    """Two amounts multiplied and rounded to a hundredth, halves to the even one."""
    if is_blank(left) or is_blank(right):
        return None
    try:
        amount = Decimal(str(left)) * Decimal(str(right))
        return amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
    except InvalidOperation:
        return f"{left} * {right}"

"""The dynamic parts of a template, each rendered once for every distinct tuple of the values that it names.

An `if` asks its condition once a tuple and then goes into its branches; a `for` over a list is the sum of its items.
Texts are remembered from batch to batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from carillon.messages.columns import Columns, Items, JsonColumn, items_of
from carillon.messages.liquid import MOST_ROUNDS

MOST_REMEMBERED = 100_000
"""Distinct texts that one cell keeps between batches."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Instead of a text: the message is skipped for a reason, or could not be rendered."""

    reason: str
    is_skip: bool = False


Text = str | Refusal
Texts = Sequence[Text]


class Cell(ABC):
    """One dynamic part: the texts of people, by column."""

    __slots__ = ()

    @abstractmethod
    def texts(self, people: Columns, rows: Sequence[int] | None = None) -> list[Text]:
        """One text for each of `rows` (None: everybody)."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what was remembered: an instant or a key has changed."""


def _picked(column: Sequence[Any], rows: Sequence[int] | None) -> Sequence[Any]:
    if rows is None:
        return column
    return column.picked(rows) if isinstance(column, JsonColumn) else [column[row] for row in rows]


@dataclass(slots=True)
class TupleCell(Cell):
    """Rendered by `make` once for each distinct tuple of its columns."""

    columns: tuple[str, ...]
    make: Callable[[tuple[Any, ...]], Text]
    memory: dict[Hashable, dict[Hashable, Text]] = field(default_factory=dict)
    """Kinds of the columns → tuple → text."""

    def texts(self, people: Columns, rows: Sequence[int] | None = None) -> list[Text]:
        memory = self.memory.setdefault(tuple(map(people.kind, self.columns)), {})
        columns = [people.column(path) for path in self.columns]

        def make(at: int) -> Text:
            row = at if rows is None else rows[at]
            return self.make(tuple(column[row] for column in columns))

        return _looked_up(memory, self._keys(people, rows), make)

    def _keys(self, people: Columns, rows: Sequence[int] | None) -> Sequence[Hashable]:
        keys = [_picked(people.keys(path), rows) for path in self.columns]
        if len(self.columns) == 1:
            return keys[0]
        if not self.columns:
            return [()] * (len(people) if rows is None else len(rows))
        return list(zip(*keys, strict=True))

    def forget(self) -> None:
        self.memory.clear()


@dataclass(slots=True)
class LoopCell(Cell):
    """A `for` over a list whose body names nothing but its item: one lookup an item."""

    column: str
    inner: tuple[str, ...]
    """Keys that lead from the column's value to the list."""
    limit: int | None
    fields: tuple[str, ...] | None
    """The item's fields that the body names; None: the item as a whole."""
    make_item: Callable[[Any], Text]
    whole: TupleCell
    """For what is no list: missing, too long, a mapping."""
    memory: dict[Hashable, dict[Hashable, Text]] = field(default_factory=dict)
    """Kind of the items → key → text."""

    def texts(self, people: Columns, rows: Sequence[int] | None = None) -> list[Text]:
        column = people.column(self.column)
        if isinstance(column, JsonColumn) and not self.inner:
            try:
                return self._of_things(people, column, rows)
            except ValueError:  # a list that looks otherwise than stores write it: it is read whole
                pass
        return self._of_values(people, rows)

    def _of_things(self, people: Columns, column: JsonColumn, rows: Sequence[int] | None) -> list[Text]:
        """Lists of objects, told apart by their JSON: nothing is read that was read before."""
        every = people.remembered(("things", self.column), column.things)
        if every is None:
            raise ValueError("others than objects")
        lists = _picked(every, rows)
        odd = [at for at, things in enumerate(lists) if not 0 < len(things) <= MOST_ROUNDS]
        if odd or self.limit is not None:
            lists = [things[: self.limit] if len(things) <= MOST_ROUNDS else [] for things in lists]
        memory = self.memory.setdefault(JsonColumn, {})
        for inner in set(chain.from_iterable(lists)).difference(memory):
            [memory[inner]] = self._item_texts(items_of([[column.thing(inner)]], self.fields))
        found = _joined_things(memory, lists)
        _bound(memory)
        return self._with_odd(found, odd, people, rows)

    def _of_values(self, people: Columns, rows: Sequence[int] | None) -> list[Text]:
        lists, odd = self._lists(people, rows)
        items = people.remembered(
            (self.column, self.inner, self.limit, self.fields, _frozen(rows)), lambda: items_of(lists, self.fields)
        )
        parts = iter(self._item_texts(items))
        found = [_join(list(islice(parts, count))) for count in map(len, lists)]
        return self._with_odd(found, odd, people, rows)

    def _with_odd(
        self, found: list[Text], odd: Sequence[int], people: Columns, rows: Sequence[int] | None
    ) -> list[Text]:
        if odd:
            place = odd if rows is None else [rows[at] for at in odd]
            for at, text in zip(odd, self.whole.texts(people, place), strict=True):
                found[at] = text
        return found

    def _lists(self, people: Columns, rows: Sequence[int] | None) -> tuple[list[list[Any]], list[int]]:
        values = _picked(people.column(self.column), rows)
        if self.inner:
            values = list(map(self._inside, values))
        odd = [at for at, v in enumerate(values) if type(v) is not list or not 0 < len(v) <= MOST_ROUNDS]
        if not odd and self.limit is None:
            return list(values), odd
        apart = set(odd)
        return [[] if at in apart else v[: self.limit] for at, v in enumerate(values)], odd

    def _inside(self, value: Any) -> Any:
        for key in self.inner:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _item_texts(self, items: Items) -> list[Text]:
        memory = self.memory.setdefault(items.kind, {})
        return _looked_up(memory, items.keys, lambda at: self.make_item(items.values[at]))

    def forget(self) -> None:
        self.memory.clear()
        self.whole.forget()


def _looked_up(
    memory: dict[Hashable, Text], keys: Sequence[Hashable], make: Callable[[int], Text]
) -> list[Text]:  # fmt: skip
    """The text of each key; what is not remembered is made of its row, once."""
    found: list[Any] = list(map(memory.get, keys))
    if None in found:
        for at, key in enumerate(keys):
            if found[at] is None:
                if key not in memory:
                    memory[key] = make(at)
                found[at] = memory[key]
    _bound(memory)
    return found


def _bound(memory: dict[Hashable, Text]) -> None:
    if len(memory) > MOST_REMEMBERED:
        memory.clear()


def _joined_things(memory: Mapping[Hashable, Text], lists: Iterable[Sequence[str]]) -> list[Text]:
    text_of: Any = memory.__getitem__
    try:
        return ["".join(map(text_of, things)) for things in lists]
    except TypeError:  # a thing that refuses the message
        return [_join(list(map(text_of, things))) for things in lists]


def _frozen(rows: Sequence[int] | None) -> Hashable:
    return None if rows is None else tuple(rows)


@dataclass(slots=True)
class BranchCell(Cell):
    """An `if`: which branch, once a tuple of what the conditions name; then the branch for its people only."""

    choice: TupleCell
    """Its text is the number of the branch, '' for none."""
    branches: Sequence[Sequence[str | Cell]]

    def texts(self, people: Columns, rows: Sequence[int] | None = None) -> list[Text]:
        chosen = self.choice.texts(people, rows)
        found = list(chosen)
        for number, branch in enumerate(self.branches):
            at = [i for i, text in enumerate(chosen) if text == str(number)]
            if at:
                place = at if rows is None else [rows[i] for i in at]
                for i, text in zip(at, joined(branch, people, place), strict=True):
                    found[i] = text
        return found

    def forget(self) -> None:
        for cell in (self.choice, *(part for branch in self.branches for part in branch if isinstance(part, Cell))):
            cell.forget()


def joined(parts: Sequence[str | Cell], people: Columns, rows: Sequence[int] | None = None) -> list[Text]:
    """The texts of several parts in a row; the first refusal of a person is what counts."""
    count = len(people) if rows is None else len(rows)
    columns: list[Sequence[Text]] = [[p] * count if isinstance(p, str) else p.texts(people, rows) for p in parts]
    if len(columns) == 1:
        return list(columns[0])
    return [_join(row) for row in zip(*columns, strict=True)] if columns else [""] * count


def _join(row: Sequence[Any]) -> Text:
    try:
        return "".join(row)
    except TypeError:
        return next(text for text in row if isinstance(text, Refusal))

"""The dynamic parts of a template, each rendered once for every distinct tuple of the values that it names.

An `if` asks its condition once a tuple and then goes into its branches; a `for` over a list is the sum of its items.
Texts are remembered from batch to batch, spelt as whoever takes them wants them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from carillon.kernel.spelling import Spell, as_it_is
from carillon.messages.columns import Columns, Items, JsonColumn, items_of
from carillon.messages.liquid import MOST_ROUNDS
from carillon.messages.strung import Refusal, Strings, Text, filled, tags_in

MOST_REMEMBERED = 100_000
"""Distinct texts that one cell keeps between batches."""


class Cell(ABC):
    """One dynamic part: the texts of people, by column."""

    __slots__ = ()

    @abstractmethod
    def texts(self, people: Columns, rows: Sequence[int] | None = None) -> list[Text]:
        """One text for each of `rows` (None: everybody), with the person's tokens in it."""

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
    spell: Spell = as_it_is
    memory: dict[Hashable, dict[Hashable, Text]] = field(default_factory=dict)
    """Kinds of the columns → tuple → text."""
    is_tagged: bool = False
    """Whether any text that was made has a tag in it."""

    def texts(self, people: Columns, rows: Sequence[int] | None = None) -> list[Text]:
        memory = self.memory.setdefault(tuple(map(people.kind, self.columns)), {})
        columns = [people.column(path) for path in self.columns]

        def make(at: int) -> Text:
            row = at if rows is None else rows[at]
            text = _spelt(self.make(tuple(column[row] for column in columns)), self.spell)
            self.is_tagged = self.is_tagged or bool(tags_in(text, people.tokens))
            return text

        found = _looked_up(memory, self._keys(people, rows), make)
        return filled(found, people.tokens, people.tokens, rows) if self.is_tagged else found

    def for_all(self) -> Text:
        """What a cell without columns says to everybody, spelt as it is."""
        memory = self.memory.setdefault(None, {})
        if () not in memory:
            memory[()] = self.make(())
        return memory[()]

    def _keys(self, people: Columns, rows: Sequence[int] | None) -> Sequence[Hashable]:
        keys = [_picked(people.keys(path), rows) for path in self.columns]
        if len(self.columns) == 1:
            return keys[0].texts if isinstance(keys[0], JsonColumn) else keys[0]
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
    spell: Spell = as_it_is
    memory: dict[Hashable, dict[Hashable, Text]] = field(default_factory=dict)
    """Kind of the items → key → text."""
    strings: Strings = field(default_factory=Strings)
    """The texts of items by their JSON."""

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
        counts = set(map(len, lists))
        odd: Sequence[int] = ()
        if self.limit is not None or not counts <= _ROUNDS:
            odd = [at for at, things in enumerate(lists) if not 0 < len(things) <= MOST_ROUNDS]
            lists = [things[: self.limit] if len(things) <= MOST_ROUNDS else [] for things in lists]
        if len(self.strings) > MOST_REMEMBERED:
            self.strings = Strings()

        def make(inner: str) -> Text:
            [text] = self._item_texts(items_of([[column.thing(inner)]], self.fields))
            return text

        return self._with_odd(self.strings.texts(lists, people.tokens, rows, make), odd, people, rows)

    def _of_values(self, people: Columns, rows: Sequence[int] | None) -> list[Text]:
        lists, odd = self._lists(people, rows)
        items = people.remembered(
            (self.column, self.inner, self.limit, self.fields, _frozen(rows)), lambda: items_of(lists, self.fields)
        )
        parts = iter(self._item_texts(items))
        found = [_join(list(islice(parts, count))) for count in map(len, lists)]
        return self._with_odd(filled(found, people.tokens, people.tokens, rows), odd, people, rows)

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
        return _looked_up(memory, items.keys, lambda at: _spelt(self.make_item(items.values[at]), self.spell))

    def forget(self) -> None:
        self.memory.clear()
        self.strings = Strings()
        self.whole.forget()


_ROUNDS = frozenset(range(1, MOST_ROUNDS + 1))


def _looked_up(
    memory: dict[Hashable, Text], keys: Sequence[Hashable], make: Callable[[int], Text]
) -> list[Text]:  # fmt: skip
    """The text of each key; what is not remembered is made of its row, once."""
    if len(memory) > MOST_REMEMBERED:
        memory.clear()
    try:
        return list(map(memory.__getitem__, keys))
    except KeyError:
        for at, key in enumerate(keys):
            if key not in memory:
                memory[key] = make(at)
        return list(map(memory.__getitem__, keys))


def _spelt(text: Text, spell: Spell) -> Text:
    return spell(text) if isinstance(text, str) else text


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
    columns = [_fixed(p, count, people, rows) if isinstance(p, str) else p.texts(people, rows) for p in parts]
    if len(columns) == 1:
        return list(columns[0])
    return [_join(row) for row in zip(*columns, strict=True)] if columns else [""] * count


def _fixed(text: str, count: int, people: Columns, rows: Sequence[int] | None) -> list[Text]:
    texts: list[Text] = [text] * count
    return filled(texts, tags_in(text, people.tokens), people.tokens, rows)


def _join(row: Sequence[Any]) -> Text:
    try:
        return "".join(row)
    except TypeError:
        return next(text for text in row if isinstance(text, Refusal))

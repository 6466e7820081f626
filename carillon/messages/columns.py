"""Columns of people, and keys that tell their values apart."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar, overload

import orjson

from carillon.messages.content import Content

_T = TypeVar("_T")

_PLAIN_KINDS = tuple(frozenset({kind, type(None)}) for kind in (str, int, bool, float))
"""Kinds whose equal values also print alike; 1, 1.0 and True are equal in Python and are three texts in a mail."""


def exact_key(value: object) -> Hashable:
    """Equal for values that render alike, never for others."""
    try:
        return marshal.dumps(value, 2)  # type: ignore[arg-type]
    except ValueError:  # dates, decimals
        return ("repr", repr(value))


def _plain_kind(column: Sequence[object]) -> frozenset[type] | None:
    """The kind of a column whose values are their own keys, None where they cannot be."""
    found = frozenset(map(type, column))
    kind = next((kinds for kinds in _PLAIN_KINDS if found <= kinds), None)
    # 0.0 equals -0.0 and prints otherwise.
    return None if kind is not None and float in kind and 0.0 in column else kind


@dataclass(frozen=True, slots=True)
class JsonColumn(Sequence[Any]):
    """A column of values as the store spells them: each JSON text is its own key, and is read only where it is needed."""

    texts: Sequence[str]
    read: Callable[[str], Any] = orjson.loads

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        return list(map(self.read, self.texts[at])) if isinstance(at, slice) else self.read(self.texts[at])

    def picked(self, rows: Sequence[int]) -> JsonColumn:
        """The column of these rows."""
        return JsonColumn([self.texts[row] for row in rows], self.read)

    def changed(self, change: Callable[[Any], Any]) -> JsonColumn:
        """The same texts, read as `change` makes of them."""
        return JsonColumn(self.texts, lambda text: change(self.read(text)))

    def things(self) -> list[list[str]] | None:
        """The inner texts of each list of objects, for `thing`; [] for what is no list; None where a list holds others."""
        together = "\n".join(self.texts)
        # Cut at what mostly stands between two objects. Where it stood inside a text, or another gap was left, a part is
        # no object and `thing` says so; where every part is one, JSON has no other reading of the list.
        gap = "}, {" if "}, {" in together else "},{"
        lists = together[2:-2].split("}]\n[{")
        if len(lists) == len(self.texts) and together[:2] == "[{" and together[-2:] == "}]":
            return [inner.split(gap) for inner in lists]
        if any(
            text[:1] == "[" and text != "[]" and not (text[:2] == "[{" and text[-2:] == "}]") for text in self.texts
        ):
            return None
        return [text[2:-2].split(gap) if text[:2] == "[{" else [] for text in self.texts]

    def thing(self, inner: str) -> Any:
        """The object whose inner text this is; raises ValueError where `things` has cut wrongly."""
        [one] = self.read(f"[{{{inner}}}]")
        return one


_JSON: frozenset[type] = frozenset({JsonColumn})


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a column of lists, one after the other, with keys that tell them apart within one `kind`."""

    values: Sequence[Any]
    keys: Sequence[Hashable]
    kind: Hashable


def items_of(lists: Sequence[list[Any]], fields: tuple[str, ...] | None) -> Items:
    """All items; where only `fields` of them are named, only these tell them apart."""
    values = list(chain.from_iterable(lists))
    if fields:
        try:
            picked: list[Any] = list(map(itemgetter(*fields), values))
        except (KeyError, TypeError):
            picked = []
        columns = [picked] if len(fields) == 1 else [list(map(itemgetter(i), picked)) for i in range(len(fields))]
        kinds = tuple(map(_plain_kind, columns))
        if picked and None not in kinds:
            return Items(values, picked, kinds)
    return Items(values, list(map(exact_key, values)), None)


@dataclass(frozen=True, slots=True)
class Columns:
    """For each path one value a person; row i of every column is the same person. None is "has none"."""

    count: int
    values: Mapping[str, Sequence[Any]]
    tokens: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Tag → what stands for it in each person's texts."""
    _seen: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        wrong = [path for path, column in self.values.items() if len(column) != self.count]
        if wrong:
            raise ValueError(f"columns of another length than {self.count}: {', '.join(wrong)}")

    def __len__(self) -> int:
        return self.count

    def column(self, path: str) -> Sequence[Any]:
        """The values of one path; raises KeyError where the caller did not bring it."""
        try:
            return self.values[path]
        except KeyError:
            raise KeyError(f"this content names {path}, and there is no such column") from None

    def keys(self, path: str) -> Sequence[Hashable]:
        """What tells the values of a column apart, one a person, among columns of the same `kind`."""
        column = self.column(path)
        if isinstance(column, JsonColumn):
            return column.texts
        return self.remembered(path, lambda: column if self.kind(path) else list(map(exact_key, column)))

    def kind(self, path: str) -> frozenset[type] | None:
        """The kind of a column's keys: 1, 1.0 and True are equal keys of three kinds."""
        if isinstance(self.column(path), JsonColumn):
            return _JSON
        return self.remembered(("kind", path), lambda: _plain_kind(self.column(path)))

    def remembered(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """What `make` gives, made once for these people."""
        if name not in self._seen:
            self._seen[name] = make()
        found: _T = self._seen[name]
        return found


def with_amounts(values: Mapping[str, Sequence[Any]], money_paths: Sequence[str]) -> dict[str, Sequence[Any]]:
    """The columns with money as a marketer writes it, 55.00, where the store keeps 5500 cents."""
    told = dict(values)
    for path in money_paths:
        column, _, inner = path.partition("[].")
        if column in told:
            told[column] = _with_amounts(told[column], partial(_amounts, inner=inner))
    return told


def _with_amounts(column: Sequence[Any], amounts: Callable[[Any], Any]) -> Sequence[Any]:
    return column.changed(amounts) if isinstance(column, JsonColumn) else list(map(amounts, column))


def _amounts(value: Any, inner: str) -> Any:
    if not inner:
        return Decimal(value).scaleb(-2) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(value, list):
        return value
    name, _, deeper = inner.partition("[].")
    return [item | {name: _amounts(item[name], deeper)} if name in item else item for item in value]


def lacking(content: Content, people: Columns) -> dict[str, int]:
    """How many people lack each path that the message names without a default; paths that nobody lacks are left out."""
    counts = {path: _lacking(path, people) for path in content.required_paths}
    return {path: count for path, count in counts.items() if count}


def _lacking(path: str, people: Columns) -> int:
    root, name, *inner = path.replace("[]", ".[]").split(".")
    column = people.column(f"{root}.{name}")
    if not inner:
        return sum(value is None for value in column)
    keys = people.keys(f"{root}.{name}")
    missing = {key: _lacks(value, inner) for key, value in zip(keys, column, strict=True)}
    return sum(map(missing.__getitem__, keys))


def _lacks(value: object, inner: Sequence[str]) -> bool:
    if value is None:
        return True
    if not inner:
        return False
    if inner[0] == "[]":
        return isinstance(value, list) and any(_lacks(item, inner[1:]) for item in value)
    return not isinstance(value, dict) or _lacks(value.get(inner[0]), inner[1:])

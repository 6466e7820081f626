"""Columns of people, and keys that tell their values apart."""

from __future__ import annotations

import marshal
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from carillon.messages.content import Content

_PLAIN_KINDS: tuple[frozenset[type], ...] = (
    frozenset({str, type(None)}),
    frozenset({int, type(None)}),
    frozenset({bool, type(None)}),
)
"""Kinds whose equal values also print alike; 1, 1.0 and True are equal in Python and are three texts in a mail."""


def exact_key(value: object) -> Hashable:
    """Equal for values that render alike, never for others."""
    try:
        return marshal.dumps(value, 2)
    except ValueError:  # dates, decimals
        return repr(value)


@dataclass(frozen=True, slots=True)
class Columns:
    """For each path one value a person; row i of every column is the same person. None is "has none"."""

    count: int
    values: Mapping[str, Sequence[Any]]
    _keys: dict[str, Sequence[Hashable]] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        """What tells the values of a column apart, one a person."""
        found = self._keys.get(path)
        if found is None:
            column = self.column(path)
            plain = frozenset(map(type, column))
            found = column if any(plain <= kinds for kinds in _PLAIN_KINDS) else [exact_key(v) for v in column]
            self._keys[path] = found
        return found


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

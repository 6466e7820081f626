"""Events of one commit as a database in memory: filled by the process that reads them, taken whole by the one that writes.

So the writer need not put them into its staged table row by row. SQLite only, and light: no SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from carillon.people.packing import Columnwise, parts_of, with_money
from carillon.people.rows import ArrivedEvent
from carillon.store.putting import put

MOST_NUMBERED = 200_000
"""Customers whose numbers are not ours: where contacts change during an import, all of them are looked up again."""
IS_POSSIBLE = hasattr(sqlite3.Connection, "serialize")
"""SQLite can be built without."""

_AT, _HASH, _KIND, _SHOP_ID, _VALUE, _PROPS, _CURRENCY = range(len(ArrivedEvent._fields))
_ALWAYS = ("occurred_at", "hash64", "who", "value_cents", "props")
_TABLE = "arriving (occurred_at, hash64, who, value_cents, props, kind, currency)"
_PAGE = 16_384


@dataclass(slots=True)
class Sent:
    """The events of one commit; `database` travels apart."""

    n: int
    kind: str | None
    """The one kind that all are of; None where each row says it."""
    with_money: Set[str]
    """Kinds of which an event has money."""
    shop_ids: list[str]
    """Of those with the numbers -1, -2 …: as it travels of the new ones, as it is received of all."""
    is_numbered_anew: bool
    database: bytes = b""
    known: Any = None
    """Whom the numbers above zero stand for, the writer's `who.Known`; it does not travel."""

    def received(self, numbered: list[str], database: bytes) -> None:
        """`numbered`: those who have a number below zero so far; the new ones are put there."""
        numbered += self.shop_ids
        self.shop_ids, self.database = numbered, database


class Numbering(dict[str, int]):
    """Gives the shop's ids their numbers: ours to those who are known, to others -1, -2 and so on."""

    def __init__(self, known: Mapping[str, int]) -> None:
        super().__init__(known)
        self.others: list[str] = []

    def __missing__(self, shop_id: str) -> int:
        self.others.append(shop_id)
        number = self[shop_id] = -len(self.others)
        return number


@dataclass(slots=True)
class Staging:
    """Fills one database after the other, in the process that reads."""

    kind: str | None
    """The one kind of the whole file."""
    known: Mapping[str, int] = field(default_factory=dict)
    numbers: Numbering = field(init=False)
    _sent: int = 0
    """Others with a number who have travelled."""
    _n: int = 0
    _newest: int | None = None
    _is_in_order: bool = True
    _with_money: set[str] = field(default_factory=set)
    _database: sqlite3.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = Numbering(self.known)
        self._database = _empty()

    def add(self, events: Sequence[ArrivedEvent]) -> None:
        """These are of the commit, too."""
        for part in parts_of(events):
            self._put(part)
            self._n += len(part)
            self._with_money |= with_money(part, _KIND, _VALUE)
            self._look_at_order(part.column(_AT))

    def _put(self, part: Columnwise) -> None:
        names = list(_ALWAYS)
        columns = [part.column(_AT), part.column(_HASH), map(self.numbers.__getitem__, part.column(_SHOP_ID))]
        columns += [part.column(_VALUE), part.column(_PROPS)]
        if self.kind is None:
            names.append("kind")
            columns.append(part.column(_KIND))
        if part.values(_CURRENCY) != {None}:
            names.append("currency")
            columns.append(part.column(_CURRENCY))
        put(self._database, f"INSERT INTO arriving ({', '.join(names)})", len(names), zip(*columns, strict=True))

    def _look_at_order(self, at: Sequence[int]) -> None:
        if (self._newest is not None and at[0] < self._newest) or list(at) != sorted(at):
            self._is_in_order = False
        self._newest = at[-1]

    def taken(self) -> Sent:
        """All that was added; the next commit begins."""
        others = self.numbers.others
        sent = Sent(self._n, self.kind, self._with_money, others[self._sent :], self._sent == 0, self._serialized())
        self._n, self._newest, self._is_in_order, self._with_money = 0, None, True, set()
        self._sent = len(others)
        if self._sent > MOST_NUMBERED:
            self.numbers, self._sent = Numbering(self.known), 0
        return sent

    def _serialized(self) -> bytes:
        database, name = self._database, "main"
        if not self._is_in_order:  # in the order of their key they are written fifteen times faster
            name = "sorted"
            _attach(database, name)
            database.execute("INSERT INTO sorted.arriving SELECT * FROM main.arriving ORDER BY occurred_at, rowid")
        database.execute("COMMIT")
        serialized = database.serialize(name=name)
        database.close()
        self._database = _empty()
        return serialized


def _empty() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute(f"PRAGMA page_size={_PAGE}")
    database.execute(f"CREATE TABLE {_TABLE}")
    database.execute("BEGIN")
    return database


def _attach(database: sqlite3.Connection, name: str) -> None:
    database.execute(f"ATTACH ':memory:' AS {name}")
    database.execute(f"CREATE TABLE {name}.{_TABLE}")

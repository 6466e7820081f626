"""Where the people of a batch lie: PostgreSQL reads rows that lie close together as a stretch of their index.

Told only who they are, it looks each of them up in each table, at 1 µs a look-up, or reads all of a table for a batch.
Told from where to where they lie, it reads that much. SQLite looks them up in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store.tables import send

LEAST = 200
"""Fewer people are looked up: to ask where they lie costs as much."""
DENSE = 4
"""A stretch holds at most so many times the people who are wanted of it."""


def in_stretch(column: sa.ColumnElement[int], ends: str) -> sa.ColumnElement[bool]:
    """The column's value lies where the batch's people do; `ends` names what it numbers, "contact" or "enrolment"."""
    first, last = (sa.bindparam(f"{end}_{ends}", type_=sa.BigInteger) for end in ("first", "last"))
    return sa.and_(column >= first, column <= last)


def by_stretch(
    connection: Connection, batch_ids: Sequence[int], select_of: Callable[[bool], sa.Select[Any]]
) -> Iterator[sa.Row[Any]]:
    """The rows of a select for these batches, its `ids`; `select_of(True)` is the one that is told the stretch as well."""
    stretches = _together(_stretches(connection, batch_ids)) if connection.dialect.name == "postgresql" else []
    for stretch in stretches:
        yield from connection.execute(select_of(True), {"ids": stretch.batches, **stretch.ends})
    near = {batch_id for stretch in stretches for batch_id in stretch.batches}
    if scattered := [batch_id for batch_id in batch_ids if batch_id not in near]:
        yield from connection.execute(select_of(False), {"ids": scattered})


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Batches whose people lie close together, and from where to where they do."""

    batches: Sequence[int]
    people: int
    spans: Sequence[tuple[int, int]]
    """The first and the last of each of `_NUMBERED`."""

    @property
    def ends(self) -> Mapping[str, int]:
        """The values of `in_stretch`."""
        return {
            f"{end}_{name}": value
            for name, span in zip(_NUMBERED, self.spans, strict=True)
            for end, value in zip(("first", "last"), span, strict=True)
        }

    @property
    def is_dense(self) -> bool:
        return all(last - first < DENSE * self.people for first, last in self.spans)

    def __or__(self, other: _Stretch) -> _Stretch:
        spans = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(self.spans, other.spans, strict=True)]
        return _Stretch([*self.batches, *other.batches], self.people + other.people, spans)


def _together(stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """Neighbours are one stretch where it is dense as well: to plan a statement takes half as long as to read a batch."""
    found: list[_Stretch] = []
    for one in stretches:
        if found and (both := found[-1] | one).is_dense:
            found[-1] = both
        else:
            found.append(one)
    return found


def _stretches(connection: Connection, batch_ids: Sequence[int]) -> list[_Stretch]:
    """The batches whose people lie close together, in the order in which they lie."""
    rows = connection.execute(_ENDS, {"ids": batch_ids}).tuples()
    alone = (_Stretch([id], people, [(its[0], its[1]), (its[2], its[3])]) for id, people, *its in rows)
    return [stretch for stretch in alone if stretch.is_dense]


_NUMBERED = ("contact", "enrolment")


def _ends() -> sa.Select[Any]:
    people = sa.func.count()
    spans = [(sa.func.min(its), sa.func.max(its)) for its in (send.c.contact_id, send.c.enrolment_id)]
    mine = send.c.batch_id.in_(sa.bindparam("ids", expanding=True))
    return (
        sa.select(send.c.batch_id, people, *chain.from_iterable(spans))
        .where(mine, send.c.outcome.is_(None))
        .group_by(send.c.batch_id)
        .having(people >= LEAST)
        .order_by(spans[0][0])
    )


_ENDS = _ends()

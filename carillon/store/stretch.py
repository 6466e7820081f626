"""Where the people of a batch lie: PostgreSQL reads rows that lie close together as a stretch of their index.

Told only who they are, it looks each of them up in each table, at 1 µs a look-up, or reads all of a table for a batch.
Told from where to where they lie, it reads that much. SQLite looks them up in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    stretches = _stretches(connection, batch_ids) if connection.dialect.name == "postgresql" else {}
    for batch_id, stretch in stretches.items():
        yield from connection.execute(select_of(True), {"ids": [batch_id], **stretch})
    if scattered := [batch_id for batch_id in batch_ids if batch_id not in stretches]:
        yield from connection.execute(select_of(False), {"ids": scattered})


def _stretches(connection: Connection, batch_ids: Sequence[int]) -> Mapping[int, Mapping[str, int]]:
    """The batches whose people lie close together, and the ends of each."""
    rows = connection.execute(_ENDS, {"ids": batch_ids}).mappings()
    return {row["batch_id"]: {name: row[name] for name in row if name != "batch_id"} for row in rows}


def _ends() -> sa.Select[Any]:
    people, ends, close = sa.func.count(), [], []
    for name, column in (("contact", send.c.contact_id), ("enrolment", send.c.enrolment_id)):
        first, last = sa.func.min(column), sa.func.max(column)
        ends += [first.label(f"first_{name}"), last.label(f"last_{name}")]
        close.append(last - first < DENSE * people)
    mine = send.c.batch_id.in_(sa.bindparam("ids", expanding=True))
    return (
        sa.select(send.c.batch_id, *ends)
        .where(mine, send.c.outcome.is_(None))
        .group_by(send.c.batch_id)
        .having(people >= LEAST, *close)
    )


_ENDS = _ends()

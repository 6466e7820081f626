"""Generations of a test: each time its words change, the question is asked anew, of other people and under another name.

Which generation a send belongs to follows from the edition of its texts: nothing else says as surely what was read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.store import tables as t


@dataclass(frozen=True, slots=True)
class Generation:
    """A question under its name; sends whose texts are of `since` or later, and before `until`, are its own."""

    name: str
    since: Micros
    until: Micros | None
    arms: tuple[str, ...] = ()

    def owns(self, texts_at: sa.ColumnElement[Micros]) -> sa.ColumnElement[bool]:
        """Whether texts of that edition are the ones it compares."""
        return sa.and_(texts_at >= self.since, sa.true() if self.until is None else texts_at < self.until)


def generations_of(connection: Connection, node_id: int) -> tuple[Generation, ...]:
    """All generations of a step's test, the oldest first; the first begins with the first text that there ever was."""
    x = t.experiment.c
    rows = connection.execute(
        sa.select(x.name, x.registered_at, x.arms).where(x.node_id == node_id).order_by(x.registered_at, x.id)
    ).all()
    return tuple(
        Generation(
            row.name, row.registered_at if place else 0, rows[place + 1].registered_at if place + 1 < len(rows) else None,
            tuple(json.loads(row.arms)),
        )
        for place, row in enumerate(rows)
    )  # fmt: skip


def next_name(name: str, known: Sequence[Generation]) -> str:
    """What a question is called that is asked once more."""
    return f"{name}@{len(known) + 1}"

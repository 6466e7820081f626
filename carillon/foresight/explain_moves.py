"""What `explain` tells of moves between versions: which apply moved somebody, at which step, and what was due instead."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros, from_micros
from carillon.store import tables as t

NOT_WRITTEN_DOWN = 0
"""`from_version` of those who were moved before that was kept."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One move of one enrolment onto a newer version."""

    at: Micros
    step: str
    """Where they stood."""
    from_version: int
    to_version: int
    applied_at: Micros
    """When the newer one was applied."""
    due_before: Micros | None
    due_at: Micros | None

    @property
    def what(self) -> str:
        """From where to where, and what is due then instead of when."""
        moved = f"moved from version {self.from_version} to {self.to_version}"
        if self.due_before == self.due_at:
            return f"{moved}, next {_clock(self.due_at)} as before"
        return f"{moved}, next {_clock(self.due_at)} instead of {_clock(self.due_before)}"

    @property
    def why(self) -> str:
        return f"`on_change: {{move: latest}}`, applied {_clock(self.applied_at)}"


def moves_of(connection: Connection, enrolment_id: int) -> tuple[Moved, ...]:
    """The moves of an enrolment that were written down, the first first."""
    m, n, v = t.moved.c, t.node.c, t.version.c
    rows = connection.execute(
        sa.select(m.at, n.step_id, m.from_version, m.to_version, v.applied_at, m.due_before, m.due_at)
        .join_from(t.moved, t.node, n.id == m.node_id)
        .join(t.version, v.id == m.to_version)
        .where(m.enrolment_id == enrolment_id, m.from_version != NOT_WRITTEN_DOWN)
        .order_by(m.at, m.to_version)
    ).tuples()
    return tuple(Moved(*row) for row in rows)


def is_whole(connection: Connection, enrolment_id: int) -> bool:
    """Whether every move of it was written down."""
    m = t.moved.c
    lost = sa.select(m.to_version).where(m.enrolment_id == enrolment_id, m.from_version == NOT_WRITTEN_DOWN)
    return connection.scalar(lost) is None


def _clock(at: Micros | None) -> str:
    return "what it waits for" if at is None else f"{from_micros(at):%Y-%m-%d %H:%M:%S} UTC"

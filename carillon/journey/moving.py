"""How people are moved: one update of a Select that says where each of them stands next."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t
from carillon.store.engine import rowcount

DATE_PAST, NO_DATE = "date_past", "no_date"
"""The exit codes of those who arrive too late at a wait for a date, or have no such date (`if_past: exit`)."""


def write_moves(connection: Connection, moves: sa.Select[Any]) -> int:
    """Carry out a Select of (enrolment_id, node_id, arrived_at, due_at, exit_code); returns how many it moved."""
    m = moves.subquery("moves")
    is_over = m.c.exit_code.is_not(None)
    return rowcount(
        connection.execute(
            t.enrolment.update()
            .where(t.enrolment.c.id == m.c.enrolment_id)
            .values(
                node_id=sa.case((is_over, None), else_=m.c.node_id),
                arrived_at=m.c.arrived_at,
                due_at=sa.case((is_over, None), else_=m.c.due_at),
                state=sa.case((is_over, "done"), else_="live"),
                exit_code=m.c.exit_code,
                ended_at=sa.case((is_over, m.c.arrived_at)),
            )
        )
    )

"""How people are moved: an update of a Select that says where each of them stands next, so many people at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.journey.ground import Ground
from carillon.store import tables as t
from carillon.store.engine import rowcount
from carillon.store.writing import made_first, place_of, take_turn

DATE_PAST, NO_DATE = "date_past", "no_date"
"""The exit codes of those who arrive too late at a wait for a date, or have no such date (`if_past: exit`)."""

MOST_AT_ONCE = 200_000
"""SQLite holds what an update writes in memory until it has read everybody: so many, however many stand at a step."""

_MOVING = 0x4352_4C50 << 32
"""PostgreSQL advisory locks of whoever moves people of a campaign, one each ("CRLP", then the campaign)."""


def move_alone(connection: Connection, campaign_id: int) -> None:
    """Move people of the campaign without anybody else who moves many, to the end of this transaction.

    Two would take the same rows, each in its own order, and PostgreSQL would let one of them fail.
    """
    take_turn(connection, _MOVING | campaign_id)


def parts_of(connection: Connection, ground: Ground, here: sa.ColumnElement[bool]) -> Iterator[sa.ColumnElement[bool]]:
    """Everybody at a step in parts of MOST_AT_ONCE, one where they are fewer; `here` as the index of who stands there has it,
    step and version, so that its order is theirs.

    One on PostgreSQL: it holds nobody in memory, and its index has no ids to go by.

    Each part is cut when it is asked for: who has gone on by then is in none.
    """
    e = t.enrolment.c
    place = sa.tuple_(e.due_at, e.id)
    ahead: sa.ColumnElement[bool] = sa.true()
    while ground.store.runs_here:
        instants = sa.select(e.due_at, e.id).where(here, e.due_at.is_not(None), ahead).order_by(e.due_at, e.id)
        last = connection.execute(instants.offset(MOST_AT_ONCE - 1).limit(1)).one_or_none()
        if last is None:
            break
        yield sa.and_(ahead, place <= tuple(last))
        ahead = place > tuple(last)
    yield sa.or_(ahead, e.due_at.is_(None))


def write_moves(connection: Connection, moves: sa.Select[Any], *, by_place: bool = True) -> int:
    """Carry out a Select of (enrolment_id, node_id, arrived_at, due_at, exit_code); returns how many it moved.

    `by_place` says that it reads the enrolments themselves, so that each is changed where it lies.
    """
    e = t.enrolment.c
    place = place_of(connection, t.enrolment) if by_place else e.id
    its_place = (place if by_place else moves.selected_columns.enrolment_id).label("place")
    m = made_first(connection, moves.add_columns(its_place), "moves")
    is_over = m.c.exit_code.is_not(None)
    return rowcount(
        connection.execute(
            t.enrolment.update()
            .where(place == m.c.place)
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

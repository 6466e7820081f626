"""Waits for a date of the contact's own: read anew when they fall due, so that who was told another date waits for that."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.model import WaitUntilDate
from carillon.journey.ground import Ground
from carillon.journey.moving import DATE_PAST, NO_DATE, write_moves
from carillon.journey.stand import Arriving, date_of, stand_at
from carillon.plan.model import Plan, WaitNode
from carillon.store import tables as t

_NOUGHT = sa.literal_column("0", sa.Integer)


def end_date_waits(
    connection: Connection, ground: Ground, plan: Plan, here: sa.ColumnElement[bool], node: WaitNode, rule: WaitUntilDate
) -> int:  # fmt: skip
    """Take on whose date has come, let go whose date is past or missing, and put off the others; how many moved."""
    e, s = t.enrolment.c, t.standing.c
    arrived = Arriving(e.arrived_at, s.zone, s.h31, e.wave_id, e.contact_id)
    columns = (e.id, e.arrived_at, s.zone, s.h31, e.wave_id, e.contact_id, date_of(rule, arrived).label("date_at"))
    asked = sa.select(*columns).join_from(t.enrolment, t.standing, s.contact_id == e.contact_id).where(here)
    c = (came := asked.offset(_NOUGHT).subquery("came")).c
    later = t.enrolment.update().where(e.id == c.id, c.date_at > ground.now)
    connection.execute(later.values(due_at=c.date_at))
    over = sa.case((c.date_at > c.arrived_at, c.date_at), else_=c.arrived_at)
    stand = stand_at(ground, plan, node.next, Arriving(over, c.zone, c.h31, c.wave_id, c.contact_id))
    exit_code = stand.exit_code
    if rule.if_past == "exit":
        exit_code = sa.case(
            (c.date_at.is_(None), NO_DATE), (c.date_at < c.arrived_at, DATE_PAST), else_=stand.exit_code
        )
    moves = sa.select(
        c.id.label("enrolment_id"), stand.node_id.label("node_id"), over.label("arrived_at"),
        stand.due_at.label("due_at"), exit_code.label("exit_code"),
    ).select_from(came)  # fmt: skip
    is_over = sa.or_(c.date_at.is_(None), c.date_at <= ground.now)
    return write_moves(connection, moves.where(is_over), by_place=False)

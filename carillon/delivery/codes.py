"""Codes of coupons in the reserve pass: set aside with the decision, and settled by what became of their messages."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.journey.ground import Ground
from carillon.kernel.clock import SECOND
from carillon.policy.coupons import pools_of, set_aside, settle_codes
from carillon.store import localtime
from carillon.store import tables as t


def give_codes(connection: Connection, ground: Ground, pool: str, decision: sa.Table) -> None:
    """A code of the pool for everybody who gets the message, in the order of the decisions; who has one keeps it."""
    d = decision.c
    people = (
        sa.select(d.enrolment_id, d.place, _valid_until(ground, pool).label("valid_until"))
        .join_from(decision, t.standing, t.standing.c.contact_id == d.contact_id)
        .where(d.reason.is_(None))
    )
    set_aside(connection, pool, people.subquery("given"), ground.now)


def _valid_until(ground: Ground, pool: str) -> sa.ColumnElement[Any]:
    """From now on, months on the contact's calendar; a pool that workspace.yaml no longer has is good for ever."""
    rule, now = ground.rules.coupons.get(pool), sa.literal(ground.now, sa.BigInteger())
    if rule is None or rule.valid_for is None:
        return sa.cast(sa.null(), sa.BigInteger())
    span = rule.valid_for
    return localtime.add_months(t.standing.c.zone, now, span.months) if span.months else now + span.seconds * SECOND


def settle_of(connection: Connection, ground: Ground) -> int:
    """Settle the codes of the pools that this campaign gives; nothing is asked where it gives none."""
    pools = pools_of(ground.applied.plan, ground.applied.versions.values())
    return settle_codes(connection, pools) if pools else 0

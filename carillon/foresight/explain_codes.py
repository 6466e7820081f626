"""What `explain` tells of the codes that an enrolment holds: given, used in an order, over."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.coupons import spelt
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros, clock_time
from carillon.policy.coupons import SET_ASIDE, UNSURE, pools_of
from carillon.store import tables as t

_HOW = {SET_ASIDE: "set aside", UNSURE: "set aside, its hand-over is unsure"}


def code_story(connection: Connection, ground: Ground, enrolment_id: int) -> Iterator[tuple[Micros | None, str, str]]:
    """(instant, pool, what happened), the codes one after the other."""
    c, r = t.coupon.c, t.redemption.c
    pools = pools_of(ground.applied.plan, ground.applied.versions.values()) | set(ground.rules.coupons)
    rows = connection.execute(
        sa.select(c.pool, c.code, c.state, c.at, c.valid_until, r.at.label("redeemed_at"))
        .outerjoin_from(t.coupon, t.redemption, sa.and_(r.code == spelt(c.code), r.at <= ground.now))
        .where(c.pool.in_(sorted(pools)), c.enrolment_id == enrolment_id)
        .order_by(c.pool)
    ).all()
    zone = ground.rules.timezone
    for row in rows:
        until = "for ever" if row.valid_until is None else f"until {clock_time(row.valid_until, zone)}"
        yield row.at, f"coupon {row.pool}", f"{row.code} {_HOW.get(row.state, 'given')}, good {until}"
        if row.redeemed_at is not None:
            yield row.redeemed_at, f"coupon {row.pool}", f"{row.code} stood in an order"
        elif row.valid_until is not None and row.valid_until <= ground.now:
            yield row.valid_until, f"coupon {row.pool}", f"{row.code} was over, in no order"

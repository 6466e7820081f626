"""Codes that stood in orders: `coupon` of an `order_completed`, whoever ordered, in capitals, with the first instant."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.coupons import spelt
from carillon.audience.select import ORDERED
from carillon.store import tables as t
from carillon.store.json import text_at

FIELD = ("coupon",)
_COLUMNS = (sa.column("occurred_at", sa.BigInteger), sa.column("hash64", sa.BigInteger), sa.column("kind", sa.String))
_fresh = sa.table("fresh", *_COLUMNS)


def fold_redemptions(connection: Connection) -> None:
    """Write down the codes of the orders in `fresh`; the earliest instant stays, whatever comes first."""
    f, e, r = _fresh.c, t.event.c, t.redemption.c
    same = sa.and_(e.occurred_at == f.occurred_at, e.hash64 == f.hash64)
    code = spelt(text_at(e.props, FIELD))
    found = sa.select(code.label("code"), sa.func.min(f.occurred_at).label("at")).join_from(_fresh, t.event, same)
    orders = found.where(f.kind == ORDERED, code != "").group_by(code).subquery("ordered")
    known = sa.and_(r.code == orders.c.code, r.at > orders.c.at)
    connection.execute(t.redemption.update().where(known).values(at=orders.c.at))
    new = sa.select(orders.c.code, orders.c.at).where(sa.not_(sa.exists().where(r.code == orders.c.code)))
    connection.execute(t.redemption.insert().from_select(["code", "at"], new))

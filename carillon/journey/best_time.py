"""`send_time: best`: the hour of the contact's clock at which they answer, from their own answers and everybody's.

Own answers count one each; everybody's together count as PRIOR of them, spread over the day as people in general answer.
So who never answered is written to at the usual hour, and who answers often at their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from carillon.journey.ground import Ground
from carillon.kernel.clock import DAY, HOUR
from carillon.store import localtime
from carillon.store import tables as t

Column = sa.ColumnElement[Any]

PRIOR = 4.0
"""How many answers of one's own everybody's weigh."""

ASKED = 10_000
"""So many answers, to the newest messages, tell how people in general answer."""

_NOUGHT = sa.literal_column("0", sa.Integer)


def best_hour_after(ground: Ground, zone: Column, arrived_at: Column, contact_id: Column) -> Column:
    """The first instant from arrival on at which the contact's clock stands in their best hour."""
    weights = usual_hours(ground)
    usual = max(weights, key=lambda hour: (weights[hour], -hour), default=None)
    hour = _own_hour(ground, weights, zone, contact_id)
    if usual is not None:
        hour = sa.func.coalesce(hour, usual)
    clock = localtime.utc_to_local(zone, arrived_at)
    today = localtime.local_to_utc(zone, localtime.midnight(clock) + hour * HOUR)
    tomorrow = localtime.local_to_utc(zone, localtime.midnight(clock) + DAY + hour * HOUR)
    is_now = _hour_of(clock) == hour
    return sa.case((sa.or_(hour.is_(None), is_now), arrived_at), (today >= arrived_at, today), else_=tomorrow)


def usual_hours(ground: Ground) -> Mapping[int, float]:
    """Hour of the day → its weight; all together PRIOR. Empty where nobody has answered yet."""
    r, s = t.response.c, t.standing.c
    newest = (
        sa.select(r.contact_id, _answered(t.response, ground).label("at"))
        .where(_answered(t.response, ground).is_not(None))
        .order_by(r.node_id.desc(), r.enrolment_id.desc())
        .limit(ASKED)
        .subquery("newest")
    )
    hours = (
        sa.select(_hour_of(localtime.utc_to_local(s.zone, newest.c.at)).label("hour"))
        .join_from(newest, t.standing, s.contact_id == newest.c.contact_id)
        .offset(_NOUGHT)
        .subquery("hours")
    )
    with ground.store.read() as connection:
        found = connection.execute(sa.select(hours.c.hour, sa.func.count()).group_by(hours.c.hour)).all()
    total = sum(n for _, n in found)
    return {int(hour): PRIOR * n / total for hour, n in found}


def _own_hour(ground: Ground, weights: Mapping[int, float], zone: Column, contact_id: Column) -> Column:
    """The contact's own hour; NULL where the usual one outweighs all they have answered in."""
    own = t.response.alias("own")
    hour = _hour_of(localtime.utc_to_local(zone, _answered(own, ground)))
    mine = sa.and_(own.c.contact_id == contact_id, _answered(own, ground).is_not(None))
    hours = sa.select(hour.label("hour")).select_from(own).where(mine).correlate_except(own).offset(_NOUGHT)
    h = (answers := hours.subquery("answers")).c.hour
    weight: Column = sa.func.count() * 1.0
    if weights:
        weight = weight + sa.case(weights, value=h, else_=0.0)
    return (
        sa.select(h)
        .select_from(answers)
        .group_by(h)
        .having(weight >= max(weights.values(), default=0.0))
        .order_by(weight.desc(), h)
        .limit(1)
        .correlate_except(answers)
        .scalar_subquery()
    )


def _answered(response: sa.FromClause, ground: Ground) -> Column:
    """When a person clicked, or opened where they did not click, by now."""
    at = sa.func.coalesce(response.c.first_click, response.c.first_open)
    return sa.case((at <= ground.now, at))


def _hour_of(clock: Column) -> Column:
    return (clock // sa.literal_column(str(HOUR), sa.BigInteger)) % 24

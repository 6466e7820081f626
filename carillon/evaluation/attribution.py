"""Attribution: the orders that the last message before them is credited with, across campaigns, each order once.

The last marketing message clicked in time gets it, else the last one delivered in time; each message's times are those
of its own campaign. What a refund takes back is taken from whom the order was credited to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.events import is_same, zone_of
from carillon.audience.fields import asks_clock, props_hold
from carillon.audience.moment import Moment
from carillon.definition.model import Attribution, Goal
from carillon.evaluation.collect import ORDER_ID, cents_of, span_after
from carillon.kernel.durations import Span
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.by_contact import same_event
from carillon.store.json import text_at

Column = sa.ColumnElement[Any]

_CLICKED, _DELIVERED = 1, 2


@dataclass(frozen=True, slots=True)
class Credited:
    """What a campaign's messages are credited with; cents of the workspace's currency."""

    orders: int
    cents: int


def credited(connection: Connection, campaign_id: int, rules: Rules, goal: Goal, moment: Moment) -> Credited:
    """The goal's events that this campaign is credited with, over all time."""
    windows = _windows(connection, rules)
    if campaign_id not in windows:
        return Credited(0, 0)
    orders = _orders(_touched(campaign_id), goal, moment)
    touches = _touches(orders, windows)
    order, touch = orders.c, touches.c
    source = orders.join(touches, sa.and_(touch.contact_id == order.contact_id, touch.key == order.key))
    mine = [touch.place == 1, touch.campaign_id == campaign_id]
    if goal.same:
        event, trigger, own = t.event.alias("goal_event"), t.event.alias("trigger_event"), t.enrolment.alias("own")
        source = (
            source.join(event, sa.and_(event.c.occurred_at == order.at, event.c.hash64 == order.first))
            .join(own, own.c.id == touch.enrolment_id)
            .join(
                trigger, sa.and_(trigger.c.occurred_at == own.c.trigger_at, trigger.c.hash64 == own.c.trigger_hash)
            )
        )  # fmt: skip
        mine += [is_same(event.c.props, trigger.c.props, same) for same in goal.same]
    n, cents = connection.execute(
        sa.select(sa.func.sum(order.n), sa.func.sum(order.cents)).select_from(source).where(*mine)
    ).one()
    return Credited(int(n or 0), int(cents or 0))


def _windows(connection: Connection, rules: Rules) -> dict[int, Attribution]:
    """Campaign → its times, of those under a marketing topic: an order's confirmation has not brought the order."""
    rows = connection.execute(
        sa.select(t.campaign.c.id, t.version.c.plan_json).join_from(
            t.campaign, t.version, t.version.c.id == t.campaign.c.live_version
        )
    )
    plans = {campaign_id: json.loads(text) for campaign_id, text in rows}
    return {
        campaign_id: _own(plan.get("attribution")) or rules.attribution
        for campaign_id, plan in plans.items()
        if plan["marketing"]
    }


def _own(written: Mapping[str, Any] | None) -> Attribution | None:
    if written is None:
        return None
    return Attribution(written["model"], Span(**written["click"]), Span(**written["delivered"]))


def _touched(campaign_id: int) -> sa.CTE:
    """Whom the campaign reached, and since when."""
    r, n = t.response.c, t.node.c
    since = sa.func.min(sa.func.coalesce(r.delivered_at, r.first_click)).label("since")
    return (
        sa.select(r.contact_id, since)
        .join_from(t.response, t.node, n.id == r.node_id)
        .where(n.campaign_id == campaign_id, sa.or_(r.delivered_at.is_not(None), r.first_click.is_not(None)))
        .group_by(r.contact_id)
        .cte("touched")
    )


def _orders(touched: sa.CTE, goal: Goal, moment: Moment) -> sa.CTE:
    """The orders of these people since then: reported twice they count once, and their refunds are taken off.

    A refund that names an order from before belongs to that one, and is left out with it.
    """
    theirs, event = t.contact_event.alias("own_event"), t.event.alias("goal_event")
    e, own = event.c, text_at(event.c.props, (ORDER_ID,))
    are_theirs = sa.and_(theirs.c.contact_id == touched.c.contact_id, theirs.c.kind == goal.event)
    cents = cents_of(e, goal, moment)
    key = sa.func.coalesce(own, sa.cast(e.hash64, sa.String))
    place = sa.func.row_number().over(
        partition_by=(e.contact_id, key, sa.case((cents < 0, 1), else_=0)), order_by=(e.occurred_at, e.hash64)
    )
    wanted = [e.occurred_at > touched.c.since, e.occurred_at <= moment.now]
    if goal.where:
        zone = zone_of(touched.c.contact_id) if asks_clock(goal.where) else None
        wanted.append(props_hold(goal.where, e.props, zone, moment))
    first = sa.func.first_value(e.hash64).over(partition_by=(e.contact_id, key), order_by=(e.occurred_at, e.hash64))
    columns = (
        e.contact_id, key.label("key"), e.occurred_at.label("at"), first.label("first"), cents.label("cents"),
        place.label("place"), sa.case((own.is_(None), 1), else_=0).label("is_alone"),
    )  # fmt: skip
    told = (
        sa.select(*columns)
        .select_from(touched.join(theirs, are_theirs).join(event, same_event(theirs, event)))
        .where(*wanted)
        .cte("told")
    )
    c = told.c
    is_order = sa.case((sa.and_(c.cents >= 0, c.place == 1), 1), else_=0)
    worth = sa.case((sa.or_(c.cents < 0, c.place == 1), c.cents), else_=0)
    return (
        sa.select(
            c.contact_id, c.key, sa.func.min(c.at).label("at"), sa.func.min(c.first).label("first"),
            sa.func.sum(is_order).label("n"), sa.cast(sa.func.sum(worth), sa.BigInteger).label("cents"),
        )
        .group_by(c.contact_id, c.key)
        .having(sa.or_(sa.func.sum(is_order) > 0, sa.func.max(c.is_alone) == 1))
        .cte("orders")
    )  # fmt: skip


def _touches(orders: sa.CTE, windows: Mapping[int, Attribution]) -> sa.CTE:
    """The messages that each order may be credited to, the one that it is credited to in place 1."""
    either = sa.union_all(_kind(orders, windows, _CLICKED), _kind(orders, windows, _DELIVERED)).cte("either")
    c = either.c
    place = sa.func.row_number().over(
        partition_by=(c.contact_id, c.key), order_by=(c.rank, c.at.desc(), c.node_id.desc(), c.enrolment_id.desc())
    )
    columns = (c.contact_id, c.key, c.campaign_id, c.enrolment_id, place.label("place"))
    return sa.select(*columns).cte("touches")


def _kind(orders: sa.CTE, windows: Mapping[int, Attribution], rank: int) -> sa.Select[Any]:
    r, n, o = t.response.c, t.node.c, orders.c
    at = r.first_click if rank == _CLICKED else r.delivered_at
    spans: dict[Span, list[int]] = {}
    for campaign_id, window in windows.items():
        spans.setdefault(window.click if rank == _CLICKED else window.delivered, []).append(campaign_id)
    in_time = [
        sa.and_(n.campaign_id.in_(campaigns), span_after(r.contact_id, at, span) >= o.at)
        for span, campaigns in spans.items()
    ]
    return (
        sa.select(
            o.contact_id, o.key, n.campaign_id, r.node_id, r.enrolment_id, at.label("at"),
            sa.literal(rank, sa.Integer).label("rank"),
        )
        .select_from(orders.join(t.response, r.contact_id == o.contact_id).join(t.node, n.id == r.node_id))
        .where(at < o.at, sa.or_(*in_time))
    )  # fmt: skip

"""Collect: the figures of every arm of a test, split or holdout, in one set query over sends, responses and events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.events import zone_of
from carillon.audience.fields import asks_clock, props_hold
from carillon.audience.moment import Moment
from carillon.definition.conditions import Same
from carillon.definition.model import Goal
from carillon.evaluation.model import ArmFigures
from carillon.evaluation.moments import Moments
from carillon.kernel.clock import SECOND
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.json import Document, any_thing, integer_at, number_at, text_at

ORDER_ID = "order_id"
"""The property by which one order that is reported twice counts once."""

Column = sa.ColumnElement[Any]


def collect(
    connection: Connection,
    exposed: sa.Select[Any],
    arms: Sequence[str],
    node_ids: Sequence[int],
    goal: Goal | None,
    moment: Moment,
) -> tuple[ArmFigures, ...]:
    """The figures of `arms`, in their order, for the people that `exposed` selects (see `exposed`).

    Responses are those to the sends of `node_ids`; conversions the goal's events after the exposure and within its time.
    """
    people = exposed.cte("exposed")
    answered = _answered(people, node_ids)
    source: sa.FromClause = people.outerjoin(answered, answered.c.enrolment_id == people.c.enrolment_id)
    orders: Column = sa.literal(0)
    cents: Column = sa.literal(0)
    if goal is not None:
        earned = _earned(people, goal, moment)
        source = source.outerjoin(earned, earned.c.enrolment_id == people.c.enrolment_id)
        orders, cents = sa.func.coalesce(earned.c.orders, 0), sa.func.coalesce(earned.c.cents, 0)
    money = sa.cast(cents, sa.Float)  # squares of cents leave 64 bits
    select = sa.select(
        people.c.arm,
        sa.func.count(),
        *(_total(answered.c[name]) for name in ("delivered", "opens", "hidden_opens", "clicks")),
        _total(sa.case((orders > 0, 1), else_=0)),
        _total(orders),
        sa.func.sum(money),
        sa.func.sum(money * money),
    ).select_from(source)
    found = {row[0]: row[1:] for row in connection.execute(select.group_by(people.c.arm))}
    return tuple(_figures(arm, found.get(arm, (0,) * 9)) for arm in arms)


def _figures(arm: str, row: Sequence[Any]) -> ArmFigures:
    n, delivered, opens, hidden, clicks, conversions, orders, cents, cents2 = row
    return ArmFigures(
        arm, n, int(delivered), int(opens), int(hidden), int(clicks), int(conversions), int(orders),
        Moments(n, float(cents), float(cents2)),
    )  # fmt: skip


def _total(column: Column) -> Column:
    return sa.func.coalesce(sa.func.sum(column), 0)


def _answered(people: sa.CTE, node_ids: Sequence[int]) -> sa.CTE:
    """What each exposed enrolment did with these sends: 1 or 0, people's responses and machines' apart."""
    r = t.response.c

    def ever(condition: Column) -> Column:
        return sa.func.max(sa.case((condition, 1), else_=0))

    opened, by_machine = ever(r.first_open.is_not(None)), ever(r.machine_open.is_not(None))
    return (
        sa.select(
            people.c.enrolment_id,
            ever(r.delivered_at.is_not(None)).label("delivered"),
            opened.label("opens"),
            sa.case((sa.and_(opened == 0, by_machine == 1), 1), else_=0).label("hidden_opens"),
            ever(r.first_click.is_not(None)).label("clicks"),
        )
        .select_from(people.join(t.response, r.enrolment_id == people.c.enrolment_id))
        .where(r.node_id.in_(node_ids))
        .group_by(people.c.enrolment_id)
        .cte("answered")
    )


def _earned(people: sa.CTE, goal: Goal, moment: Moment) -> sa.CTE:
    """Orders and cents of each exposed enrolment; what is refunded (a negative value) reduces the cents."""
    counted = _counted(people, goal, moment)
    return (
        sa.select(
            counted.c.enrolment_id,
            sa.func.sum(sa.case((counted.c.cents >= 0, 1), else_=0)).label("orders"),
            sa.func.sum(counted.c.cents).label("cents"),
        )
        .where(sa.or_(counted.c.place == 1, counted.c.cents < 0))
        .group_by(counted.c.enrolment_id)
        .cte("earned")
    )


def _counted(people: sa.CTE, goal: Goal, moment: Moment) -> sa.CTE:
    """The goal's events of each exposed enrolment, numbered within their order."""
    event = t.event.alias("goal_event")
    e, x = event.c, people.c
    cents = sa.func.coalesce(integer_at(e.props, (goal.value,)) if goal.value else e.value_cents, 0)
    order = sa.func.coalesce(text_at(e.props, (ORDER_ID,)), sa.cast(e.hash64, sa.String))
    place = sa.func.row_number().over(
        partition_by=(x.enrolment_id, order, sa.case((cents < 0, 1), else_=0)), order_by=(e.occurred_at, e.hash64)
    )
    zone = zone_of(x.contact_id) if asks_clock(goal.where) else None
    source: sa.FromClause = people.join(event, sa.and_(e.contact_id == x.contact_id, e.kind == goal.event))
    wanted = [e.occurred_at > x.at, e.occurred_at <= _window_end(x, goal), e.occurred_at <= moment.now]
    if goal.where:
        wanted.append(props_hold(goal.where, e.props, zone, moment))
    if goal.same:
        trigger, own = t.event.alias("trigger_event"), t.enrolment.alias("own")
        source = source.join(own, own.c.id == x.enrolment_id).join(
            trigger,
            sa.and_(trigger.c.occurred_at == own.c.trigger_at, trigger.c.hash64 == own.c.trigger_hash),
        )
        wanted += [_is_same(e.props, trigger.c.props, same) for same in goal.same]
    columns = (x.enrolment_id, cents.label("cents"), place.label("place"))
    return sa.select(*columns).select_from(source).where(*wanted).cte("counted")


def _window_end(people: Any, goal: Goal) -> Column:
    if goal.within.months:
        return localtime.add_months(zone_of(people.contact_id), people.at, goal.within.months)
    end: Column = people.at + goal.within.seconds * SECOND
    return end


def _is_same(event: Document, trigger: Document, same: Same) -> sa.ColumnElement[bool]:
    """Is the goal event about the thing that started the enrolment?"""
    *things, leaf = same.field.split(".")

    def equal(document: Document) -> sa.ColumnElement[bool]:
        theirs = (same.trigger_field,)
        return sa.or_(
            text_at(document, (leaf,)) == text_at(trigger, theirs),
            number_at(document, (leaf,)) == number_at(trigger, theirs),
        )

    return any_thing(event, tuple(things), equal) if things else equal(event)

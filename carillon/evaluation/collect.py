"""Collect: the figures of every arm of a test, split or holdout, in one set query over sends, responses and events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.events import is_same, zone_of
from carillon.audience.fields import asks_clock, props_hold
from carillon.audience.moment import Moment
from carillon.audience.since import reached
from carillon.definition.model import Goal
from carillon.evaluation.model import ArmFigures
from carillon.evaluation.moments import Moments
from carillon.kernel.clock import SECOND
from carillon.kernel.durations import Span
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.by_contact import same_event
from carillon.store.json import integer_at, text_at

ORDER_ID = "order_id"
"""The property by which one order that is reported twice counts once."""

_BILLION = 1_000_000_000

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

    Responses are those to the sends of `node_ids`; conversions the goal's events after the exposure (or
    after its `from` step, of those who reached it) and within its time.
    """
    people = exposed.cte("exposed")
    seen = [_everybody(people), _answers(people, node_ids)]
    if goal is not None:
        seen.append(_earnings(people, goal, moment))
    person = _by_person(sa.union_all(*seen).cte("seen")).c
    hidden = sa.case((sa.and_(person.opens == 0, person.machine_opens == 1), 1), else_=0)
    money = sa.cast(person.cents, sa.Float)  # squares of cents leave 64 bits
    select = sa.select(
        person.arm, sa.func.count(), *map(sa.func.sum, (person.delivered, person.opens, hidden, person.clicks)),
        sa.func.sum(sa.case((person.orders > 0, 1), else_=0)), sa.func.sum(person.orders), sa.func.sum(money),
        sa.func.sum(money * money),
    )  # fmt: skip
    found = {row[0]: row[1:] for row in connection.execute(select.group_by(person.arm))}
    return tuple(_figures(arm, found.get(arm, (0,) * 9)) for arm in arms)


def _figures(arm: str, row: Sequence[Any]) -> ArmFigures:
    n, delivered, opens, hidden, clicks, conversions, orders, cents, cents2 = row
    return ArmFigures(
        arm, n, int(delivered), int(opens), int(hidden), int(clicks), int(conversions), int(orders),
        Moments(n, float(cents), float(cents2)),
    )  # fmt: skip


_FACTS = ("delivered", "opens", "machine_opens", "clicks", "orders", "cents")


def _seen(people: sa.CTE, **facts: Column) -> sa.Select[Any]:
    """Rows of (arm, enrolment, facts), what is not said being 0.

    Rows are piled up and grouped, not joined: SQLite joins grouped CTEs without an index, which takes the square of
    their people.
    """
    values = (facts.get(name, sa.literal_column("0", sa.BigInteger)).label(name) for name in _FACTS)
    return sa.select(people.c.arm, people.c.enrolment_id, *values)


def _by_person(seen: sa.CTE) -> sa.CTE:
    marks = (sa.func.max(seen.c[name]).label(name) for name in _FACTS[:4])
    sums = (sa.cast(sa.func.sum(seen.c[name]), sa.BigInteger).label(name) for name in _FACTS[4:])
    return (
        sa.select(seen.c.arm, seen.c.enrolment_id, *marks, *sums)
        .group_by(seen.c.arm, seen.c.enrolment_id)
        .cte("person")
    )


def _everybody(people: sa.CTE) -> sa.Select[Any]:
    return _seen(people).select_from(people)


def _answers(people: sa.CTE, node_ids: Sequence[int]) -> sa.Select[Any]:
    """What each exposed enrolment did with these sends; people's responses and machines' apart."""
    r = t.response.c

    def ever(at: Column) -> Column:
        return sa.case((at.is_not(None), 1), else_=0)

    return (
        _seen(
            people,
            delivered=ever(r.delivered_at),
            opens=ever(r.first_open),
            machine_opens=ever(r.machine_open),
            clicks=ever(r.first_click),
        )
        .select_from(people.join(t.response, r.enrolment_id == people.c.enrolment_id))
        .where(r.node_id.in_(node_ids))
    )


def conversions(enrolment_id: int, goal: Goal, moment: Moment) -> sa.Select[tuple[int, int]]:
    """(instant, cents) of what counts for one enrolment from its entry on: each order once, and refunds."""
    e = t.enrolment.c
    one = sa.select(sa.literal("").label("arm"), e.id.label("enrolment_id"), e.contact_id, e.entered_at.label("at"))
    counted = _counted(one.where(e.id == enrolment_id).cte("one"), goal, moment).c
    found = sa.select(counted.happened_at, counted.cents).where(sa.or_(counted.place == 1, counted.cents < 0))
    return found.order_by(counted.happened_at)


def _earnings(people: sa.CTE, goal: Goal, moment: Moment) -> sa.Select[Any]:
    """Orders and cents of each exposed enrolment; what is refunded (a negative value) reduces the cents."""
    counted = _counted(people, goal, moment)
    cents = counted.c.cents
    return _seen(counted, orders=sa.case((cents >= 0, 1), else_=0), cents=cents).where(
        sa.or_(counted.c.place == 1, cents < 0)
    )


def _counted(people: sa.CTE, goal: Goal, moment: Moment) -> sa.CTE:
    """The goal's events of each exposed enrolment, numbered within their order."""
    own_event, event = t.contact_event.alias("own_event"), t.event.alias("goal_event")
    e, x = event.c, people.c
    cents = cents_of(e, goal, moment)
    order = sa.func.coalesce(text_at(e.props, (ORDER_ID,)), sa.cast(e.hash64, sa.String))
    place = sa.func.row_number().over(
        partition_by=(x.enrolment_id, order, sa.case((cents < 0, 1), else_=0)), order_by=(e.occurred_at, e.hash64)
    )
    zone = zone_of(x.contact_id) if asks_clock(goal.where) else None
    theirs = sa.and_(own_event.c.contact_id == x.contact_id, own_event.c.kind == goal.event)
    source: sa.FromClause = people.join(own_event, theirs).join(event, same_event(own_event, event))
    own = t.enrolment.alias("own")
    opens = reached(goal.from_step, own, moment) if goal.from_step else x.at
    wanted = [e.occurred_at > opens, e.occurred_at <= span_after(x.contact_id, opens, goal.within)]
    wanted.append(e.occurred_at <= moment.now)
    if goal.same or goal.from_step:
        source = source.join(own, own.c.id == x.enrolment_id)
    if goal.where:
        wanted.append(props_hold(goal.where, e.props, zone, moment))
    if goal.same:
        trigger = t.event.alias("trigger_event")
        source = source.join(
            trigger, sa.and_(trigger.c.occurred_at == own.c.trigger_at, trigger.c.hash64 == own.c.trigger_hash)
        )
        wanted += [is_same(e.props, trigger.c.props, same) for same in goal.same]
    columns = (x.arm, x.enrolment_id, cents.label("cents"), place.label("place"), e.occurred_at.label("happened_at"))
    return sa.select(*columns).select_from(source).where(*wanted).cte("counted")


def cents_of(e: Any, goal: Goal, moment: Moment) -> Column:
    """What an event of the goal is worth in the workspace's cents, halves away from nought."""
    told: Column = sa.func.coalesce(integer_at(e.props, (goal.value,)) if goal.value else e.value_cents, 0)
    if not moment.rates:
        return told
    cases = {currency: _rounded(told, int(rate * _BILLION)) for currency, rate in moment.rates.items()}
    return sa.case((e.currency.is_(None), told), else_=sa.case(cases, value=e.currency, else_=told))


def _rounded(cents: Column, billionths: int) -> Column:
    # Whole numbers, because the stores round the halves of fractions differently.
    half = sa.case((cents < 0, -_BILLION // 2), else_=_BILLION // 2)
    big = sa.BigInteger()
    scaled: Column = sa.cast(cents, big) * sa.literal(billionths, big) + sa.cast(half, big)
    return scaled // sa.literal(_BILLION, big)


def span_after(contact_id: Column, at: Column, span: Span) -> Column:
    """The instant a span behind another; months on the contact's clock."""
    if span.months:
        return localtime.add_months(zone_of(contact_id), at, span.months)
    end: Column = at + span.seconds * SECOND
    return end

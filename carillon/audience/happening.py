"""When a condition first came to hold after an instant: what `wait_for` waits for.

Events, openings and clicks have instants of their own, however late they are looked at. Everything else is only known
when it is asked: then its instant is that of the question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import sqlalchemy as sa

from carillon.audience import bounds
from carillon.audience.coupons import became_at
from carillon.audience.evaluate import where
from carillon.audience.events import rows_of
from carillon.audience.moment import Expression, Moment, Subject
from carillon.audience.responses import first_response
from carillon.audience.since import reached
from carillon.definition.conditions import All, AnyOf, Compare, Condition, CouponIs, HasEvent, Not, Responded

ARRIVAL = "→"
"""`since: ARRIVAL`: no step can be called that."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whoever waits: as a subject, since when, and the instant of what only the question tells."""

    subject: Subject
    since: Expression
    asked_at: Expression


def happened_at(condition: Condition, waiting: Waiting, at: Moment) -> Expression:
    """The first instant after arrival at which it held; NULL where it has not happened by now."""
    match condition:
        case All(parts) if parts:
            return reduce(_later, (happened_at(part, waiting, at) for part in parts))
        case AnyOf(parts) if parts:
            return reduce(_earlier, (happened_at(part, waiting, at) for part in parts))
        case HasEvent(count=count, sum=None) if (number := _nth(count)) is not None:
            return _instant(condition, number, waiting, at)
        case Responded(what="opened" | "clicked", count=count) if bounds.is_any(count):
            return first_response(condition, waiting.subject, at, waiting.since)
        case CouponIs(state="redeemed" | "expired"):
            return became_at(condition, waiting.subject, at)
        case _:
            return sa.case((where(_since_arrival(condition), _subject(waiting, at), at), waiting.asked_at))


def answer_of(condition: Condition, waiting: Waiting, at: Moment, instant: Expression) -> Expression | None:
    """The hash of the event by which it came to hold at the instant; None where no event can be it."""
    found = [_event_at(leaf, waiting, at, instant) for leaf in _events_in(condition)]
    return sa.func.coalesce(*found, sa.null()) if found else None


def _subject(waiting: Waiting, at: Moment) -> Subject:
    """The subject, who knows since when events count."""
    enrolment = waiting.subject.enrolment
    assert enrolment is not None, "only a journey waits"
    return replace(
        waiting.subject, reached=lambda step: waiting.since if step == ARRIVAL else reached(step, enrolment, at)
    )


def _since_arrival(condition: Condition) -> Condition:
    match condition:
        case HasEvent(since=None, within=None):
            return replace(condition, since=ARRIVAL)
        case All(parts):
            return All(tuple(map(_since_arrival, parts)))
        case AnyOf(parts):
            return AnyOf(tuple(map(_since_arrival, parts)))
        case Not(part):
            return Not(_since_arrival(part))
        case _:
            return condition


def _nth(count: Compare) -> int | None:
    """The number of the event with which the count is reached; None where it is not reached by one more."""
    value = count.value[0] if isinstance(count.value, tuple) else count.value
    match count.op:
        case "at_least" | "is" | "between" if value >= 1:
            return int(value)
        case "over" if value >= 0:
            return int(value) + 1
        case _:
            return None


def _instant(condition: HasEvent, number: int, waiting: Waiting, at: Moment) -> Expression:
    rows = rows_of(_bounded(condition), _subject(waiting, at), at)
    event = rows.inner[0].c
    return (
        sa.select(event.occurred_at)
        .select_from(rows.source)
        .where(rows.contact_id == waiting.subject.contact_id, *rows.where)
        .order_by(event.occurred_at)
        .offset(number - 1)
        .limit(1)
        .correlate_except(*rows.inner)
        .scalar_subquery()
    )


def _event_at(condition: HasEvent, waiting: Waiting, at: Moment, instant: Expression) -> Expression:
    rows = rows_of(_bounded(condition), _subject(waiting, at), at)
    event = rows.inner[0].c
    return (
        sa.select(sa.func.min(event.hash64))
        .select_from(rows.source)
        .where(rows.contact_id == waiting.subject.contact_id, event.occurred_at == instant, *rows.where)
        .correlate_except(*rows.inner)
        .scalar_subquery()
    )


def _bounded(condition: HasEvent) -> HasEvent:
    return condition if condition.since is not None else replace(condition, since=ARRIVAL)


def _events_in(condition: Condition) -> Iterator[HasEvent]:
    match condition:
        case HasEvent():
            yield condition
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _events_in(part)
        case _:
            return


def _later(one: Expression, other: Expression) -> Expression:
    """The later of two instants; NULL where one is."""
    both = sa.and_(one.is_not(None), other.is_not(None))
    return sa.case((both, sa.case((one > other, one), else_=other)))


def _earlier(one: Expression, other: Expression) -> Expression:
    """The earlier of two instants; where one is NULL, the other."""
    return sa.case((other.is_(None), one), (one < other, one), else_=other)

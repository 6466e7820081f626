"""Dates on the contact's clock, without a clock in SQL.

At one instant the whole world has at most three dates. So everything that depends on "today" is computed here for each
of them and handed to SQL as constants, with the zones where it is that day.
"""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import lru_cache

import sqlalchemy as sa

from carillon.audience.moment import ConditionError, Expression, Moment, Predicate
from carillon.definition.conditions import Ago, FieldTest, Span
from carillon.kernel.clock import Micros, from_micros
from carillon.kernel.time.calendar import add_months, at_clock
from carillon.kernel.time.zones import offset_at, zone_names
from carillon.store.bulk import many


@lru_cache(maxsize=64)
def todays(now: Micros) -> tuple[tuple[date, tuple[str, ...]], ...]:
    """Each date that some clock shows at `now`, with the zones where it does."""
    zones: dict[date, list[str]] = {}
    for name in sorted(zone_names()):
        zones.setdefault(from_micros(now + offset_at(name, now)).date(), []).append(name)
    return tuple((day, tuple(names)) for day, names in sorted(zones.items()))


def on_each_clock(zone: Expression, now: Micros, holds: Callable[[date], Predicate]) -> Predicate:
    """Does `holds(today)` hold, with the date that the zone's clock shows?"""
    return sa.or_(*(sa.and_(zone.in_(many(names, str)), holds(day)) for day, names in todays(now)))


def shift(day: date, span: Span, sign: int) -> date:
    """So many whole days (a part of a day counts as one) or months later or earlier."""
    return add_months(day, sign * span.months) + sign * timedelta(days=-(-span.seconds // 86_400))


def date_holds(value: Expression, test: FieldTest, zone: Expression, at: Moment) -> Predicate:
    """A test of a date (ISO text) against today or another date; NULL for a missing date."""
    match test.op, test.value:
        case "before", str(day):
            return value < day
        case "after", str(day):
            return value > day
        case (("before" | "after"), Ago(span)):
            return on_each_clock(zone, at.now, lambda today: _beside(value, test.op, shift(today, span, -1)))
        case (("before" | "after"), int(instant)):
            return on_each_clock(zone, instant, lambda day: _beside(value, test.op, day))
        case "in_last", Span() as span:
            return on_each_clock(
                zone, at.now, lambda today: sa.and_(value > _iso(shift(today, span, -1)), value <= _iso(today))
            )
        case "in_next", Span() as span:
            return on_each_clock(
                zone, at.now, lambda today: sa.and_(value >= _iso(today), value < _iso(shift(today, span, 1)))
            )
        case "anniversary", Span() as span:
            return on_each_clock(zone, at.now, lambda today: _celebrates(value, today, span))
        case _:
            raise ConditionError(f"{test.field}: a date knows no {test.op}: {test.value!r}")


def instant_holds(value: Expression, test: FieldTest, zone: Expression, at: Moment) -> Predicate:
    """A test of an instant (microseconds) against now, another instant, or a date on the contact's clock."""
    match test.op, test.value:
        case "before", Ago(span):
            return value < at.ago(span)
        case "after", Ago(span):
            return value > at.ago(span)
        case "before", int(instant):
            return value < instant
        case "after", int(instant):
            return value > instant
        case "before", str(day):
            return sa.not_(_since_midnight(value, zone, date.fromisoformat(day)))
        case "after", str(day):
            return _since_midnight(value, zone, date.fromisoformat(day) + timedelta(days=1))
        case "in_last", Span() as span:
            return sa.and_(value > at.ago(span), value <= at.now)
        case "in_next", Span() as span:
            return sa.and_(value >= at.now, value < at.ahead(span))
        case _:
            raise ConditionError(f"{test.field}: an instant knows no {test.op}: {test.value!r}")


def needs_clock(test: FieldTest) -> bool:
    """Does the answer depend on the contact's zone?"""
    if test.type == "date":
        return test.op in ("in_last", "in_next", "anniversary") or (
            test.op in ("before", "after") and not isinstance(test.value, str)
        )
    return test.type == "instant" and test.op in ("before", "after") and isinstance(test.value, str)


def _iso(day: date) -> str:
    return day.isoformat()


def _beside(value: Expression, op: str, day: date) -> Predicate:
    return value < _iso(day) if op == "before" else value > _iso(day)


@dataclass(frozen=True, slots=True)
class _DaysOfYear:
    """The days from `first` to `last` (`MM-DD`) of one year."""

    year: int
    first: str
    last: str


def days_of_year(today: date, span: Span) -> Iterator[_DaysOfYear]:
    """The days from today on, before today + span (at least today), cut at the new year."""
    end = max(shift(today, span, 1), today + timedelta(days=1)) - timedelta(days=1)
    for year in range(today.year, end.year + 1):
        first, last = max(today, date(year, 1, 1)), min(end, date(year, 12, 31))
        shown = f"{last:%m-%d}"
        # Who was born on 29 February celebrates on the 28th in common years.
        yield _DaysOfYear(year, f"{first:%m-%d}", "02-29" if shown == "02-28" and not isleap(year) else shown)


def _celebrates(value: Expression, today: date, span: Span) -> Predicate:
    day = sa.func.substr(value, 6, 5)
    return sa.or_(
        *(
            sa.and_(value < f"{part.year:04}-01-01", day >= part.first, day <= part.last)
            for part in days_of_year(today, span)
        )
    )


@lru_cache(maxsize=64)
def midnights(day: date) -> tuple[tuple[Micros, tuple[str, ...]], ...]:
    """The instants at which the day begins somewhere, with the zones where it does."""
    zones: dict[Micros, list[str]] = {}
    for name in sorted(zone_names()):
        zones.setdefault(at_clock(name, day, time()), []).append(name)
    return tuple((instant, tuple(names)) for instant, names in sorted(zones.items()))


def _since_midnight(value: Expression, zone: Expression, day: date) -> Predicate:
    """Has the day begun on the zone's clock at `value`? Only the hours in which the world disagrees ask for the zone."""
    begins = midnights(day)
    first, last = begins[0][0], begins[-1][0]
    disputed = sa.or_(*(sa.and_(value >= instant, zone.in_(many(names, str))) for instant, names in begins))
    return sa.or_(value >= last, sa.and_(value >= first, disputed))

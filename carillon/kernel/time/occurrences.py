"""Occurrences: when an entry `every: day | monday | […] | month` comes due."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Literal, assert_never

from carillon.kernel.clock import Micros
from carillon.kernel.time.calendar import add_months, at_clock, utc_to_local

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Weekly:
    """Every given weekday (Monday = 0) at a clock time; all seven are `every: day`."""

    at: time
    weekdays: tuple[int, ...] = EVERY_DAY
    kind: Literal["weekly"] = "weekly"

    def __post_init__(self) -> None:
        if not self.weekdays or not set(self.weekdays) <= set(EVERY_DAY):
            raise ValueError(f"weekdays are numbers from 0 (Monday) to 6, at least one: {self.weekdays!r}")


@dataclass(frozen=True, slots=True)
class Monthly:
    """Every month on a day (the month's last where it is shorter) at a clock time."""

    at: time
    day: int = 1
    kind: Literal["monthly"] = "monthly"

    def __post_init__(self) -> None:
        if not 1 <= self.day <= 31:
            raise ValueError(f"a month has no day {self.day}")


Every = Weekly | Monthly


def next_occurrence(rule: Every, zone_name: str, after: Micros) -> Micros:
    """The first occurrence later than `after`."""
    first_day = utc_to_local(zone_name, after).date()
    return next(at for day in _days(rule, first_day) if (at := at_clock(zone_name, day, rule.at)) > after)


def occurrences(rule: Every, zone_name: str, after: Micros, until: Micros) -> Iterator[Micros]:
    """All occurrences in (after, until], in order."""
    at = next_occurrence(rule, zone_name, after)
    while at <= until:
        yield at
        at = next_occurrence(rule, zone_name, at)


def _days(rule: Every, first: date) -> Iterator[date]:
    """The rule's calendar days: from `first`, or from its month, on."""
    match rule:
        case Weekly(weekdays=weekdays):
            while True:
                if first.weekday() in weekdays:
                    yield first
                first += timedelta(days=1)
        case Monthly(day=day):
            month = first.replace(day=1)
            while True:
                yield month.replace(day=min(day, monthrange(month.year, month.month)[1]))
                month = add_months(month, 1)
        case _:
            assert_never(rule)

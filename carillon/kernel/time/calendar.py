"""Calendar: from instants to a contact's clock and back, and the waits that follow it.

A clock time that does not exist (spring) is the first instant after the gap; one that exists twice is the first.
Weekdays count from Monday = 0. Clock times are naive `datetime`, `date` and `time` values.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from carillon.kernel.clock import SECOND, Micros, from_micros, to_micros
from carillon.kernel.time.zones import offset_at, zone

Period = Literal["day", "week", "month"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_MICROSECOND = timedelta(microseconds=1)


def clock_micros(local: datetime) -> int:
    """A clock time as microseconds, as if the clock stood in UTC: what SQL calculates with."""
    return to_micros(local.replace(tzinfo=UTC))


def time_micros(at: time) -> int:
    """A time of day as microseconds from midnight on the clock."""
    return clock_micros(datetime.combine(date(1970, 1, 1), at))


def utc_to_local(zone_name: str, at: Micros) -> datetime:
    """What the zone's clock shows at an instant."""
    return from_micros(at).astimezone(zone(zone_name)).replace(tzinfo=None)


def local_to_utc(zone_name: str, local: datetime) -> Micros:
    """The instant of a clock time: after the gap if it does not exist, the first if it exists twice."""
    clock, shown = zone(zone_name), clock_micros(local)
    first = (local.replace(tzinfo=clock, fold=0).utcoffset() or timedelta()) // _MICROSECOND
    second = (local.replace(tzinfo=clock, fold=1).utcoffset() or timedelta()) // _MICROSECOND
    if first < second:  # PEP 495: only in a gap does the later reading have the larger offset
        return change_between(zone_name, shown - second, shown - first)
    return shown - first


def change_between(zone_name: str, before: Micros, after: Micros) -> Micros:
    """The instant in (before, after] at which the zone's clock is changed; exactly one must lie there."""
    old = offset_at(zone_name, before)
    low, high = before // SECOND, -(-after // SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset_at(zone_name, middle * SECOND) == old else (low, middle)
    return high * SECOND


def add_span(zone_name: str, at: Micros, *, seconds: int = 0, months: int = 0) -> Micros:
    """`at` plus exact seconds, or plus calendar months on the zone's clock (31 January + 1 month = 28 or 29 February)."""
    if months == 0:
        return at + seconds * SECOND
    local = utc_to_local(zone_name, at)
    moved = datetime.combine(add_months(local.date(), months), local.time())
    return local_to_utc(zone_name, moved) + seconds * SECOND


def add_months(day: date, months: int) -> date:
    """The same day some months later (or earlier), at most the month's last."""
    count = day.year * 12 + day.month - 1 + months
    year, month = count // 12, count % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def days_at(zone_name: str, start: Micros, days: int, at: time | None = None) -> Micros:
    """So many calendar days after `start`, at a clock time (the same one if none is given); may lie before `start`."""
    local = utc_to_local(zone_name, start)
    return local_to_utc(zone_name, datetime.combine(local.date() + timedelta(days=days), at or local.time()))


def next_weekday_at(zone_name: str, start: Micros, weekdays: Collection[int], at: time) -> Micros:
    """The first instant after `start` that is `at` on one of `weekdays`: today if still ahead."""
    if not weekdays or not set(weekdays) <= set(range(7)):
        raise ValueError(f"weekdays are numbers from 0 (Monday) to 6, at least one: {weekdays!r}")
    day = utc_to_local(zone_name, start).date()
    while True:
        if day.weekday() in weekdays and (found := at_clock(zone_name, day, at)) > start:
            return found
        day += timedelta(days=1)


def next_time_at(zone_name: str, start: Micros, at: time) -> Micros:
    """The first instant after `start` at which the clock shows `at`."""
    return next_weekday_at(zone_name, start, range(7), at)


def at_clock(zone_name: str, day: date, at: time) -> Micros:
    """The instant of a clock time on a day."""
    return local_to_utc(zone_name, datetime.combine(day, at))


def celebrated_on(day: date, year: int) -> date:
    """The anniversary of `day` in a year; 29 February is celebrated on the 28th in common years."""
    if (day.month, day.day) == (2, 29) and not isleap(year):
        return date(year, 2, 28)
    return day.replace(year=year)


def next_anniversary(zone_name: str, after: Micros, day: date, at: time, *, offset_days: int = 0) -> Micros:
    """The first instant after `after` that is `at`, `offset_days` from an anniversary of `day`."""
    shift = timedelta(days=offset_days)
    year = (utc_to_local(zone_name, after).date() - shift).year - 1
    while True:
        if (found := at_clock(zone_name, celebrated_on(day, year) + shift, at)) > after:
            return found
        year += 1


def period_start(zone_name: str, at: Micros, period: Period) -> Micros:
    """The beginning of the day, week (Monday) or month on the zone's calendar that holds the instant."""
    return at_clock(zone_name, _first_day(utc_to_local(zone_name, at).date(), period), time())


def period_end(zone_name: str, at: Micros, period: Period) -> Micros:
    """The beginning of the next day, week or month on the zone's calendar."""
    first = _first_day(utc_to_local(zone_name, at).date(), period)
    following = {"day": first + timedelta(days=1), "week": first + timedelta(days=7), "month": add_months(first, 1)}
    return at_clock(zone_name, following[period], time())


def _first_day(day: date, period: Period) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)

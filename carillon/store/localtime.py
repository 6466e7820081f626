"""Local time for sets: the functions of `kernel.time` as SQL expressions over `core.zone_period`, under the same names.

A clock time is an integer here: microseconds as if the clock stood in UTC. Every function takes columns or expressions
and yields a scalar subquery that stands in any Select, Update or Insert and finds its periods by primary key. Nothing
may be asked of a zone before `ensure_zone_periods` has filled its rows: the answer would be NULL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import DAY, HOUR, SECOND
from carillon.kernel.time.calendar import Period, clock_micros, time_micros
from carillon.kernel.time.periods import zone_periods
from carillon.kernel.time.windows import Window, union_is_whole_day
from carillon.kernel.time.zones import tzdata_version
from carillon.store.tables import setting, zone_period

Expression = sa.ColumnElement[Any]

_SHIFT = 1_000_000
"""Days added before a division: integers are divided towards zero, and instants before 1970 are negative."""

_NOUGHT = sa.literal_column("0", sa.Integer)
_A_DAY = sa.literal_column(str(DAY), sa.BigInteger)

_BEFORE_ANY_OFFSET = 15 * HOUR
"""A clock time less this is an earlier instant in every zone, and less than two changes of a clock away."""


def ensure_zone_periods(connection: Connection, zones: Iterable[str]) -> int:
    """Fill the rows of those zones that have none (all anew after an update of tzdata); returns rows written."""
    known = set(connection.scalars(sa.select(zone_period.c.zone).distinct()))
    wanted, edition = known | set(zones), tzdata_version()
    if connection.scalar(sa.select(setting.c.value).where(setting.c.name == "tzdata")) != edition:
        connection.execute(sa.delete(zone_period))
        connection.execute(sa.delete(setting).where(setting.c.name == "tzdata"))
        connection.execute(sa.insert(setting).values(name="tzdata", value=edition))
        known = set()
    rows = [row._asdict() for row in zone_periods(wanted - known)]
    if rows:
        connection.execute(sa.insert(zone_period), rows)
    return len(rows)


def utc_to_local(zone: Expression, at: Expression) -> Expression:
    """What each zone's clock shows at each instant."""
    given = _given(at=at)
    period = zone_period.alias()
    return (
        sa.select(given.c.at + period.c.offset)
        .select_from(given.join(period, period.c.from_utc <= given.c.at))
        .where(period.c.zone == zone)
        .order_by(period.c.from_utc.desc())
        .limit(1)
        .correlate_except(given, period)
        .scalar_subquery()
    )


def local_to_utc(zone: Expression, clock: Expression) -> Expression:
    """The instant of each clock time: after the gap if it does not exist, the first if it exists twice."""
    given, early, late, older = _given(clock=clock), zone_period.alias(), zone_period.alias(), zone_period.alias()
    latest = sa.select(sa.func.max(older.c.from_utc)).correlate_except(older)
    latest = latest.where(older.c.zone == zone, older.c.from_utc <= given.c.clock - _BEFORE_ANY_OFFSET)
    in_late = given.c.clock - late.c.offset
    found = sa.case(
        (given.c.clock < early.c.to_utc + early.c.offset, given.c.clock - early.c.offset),
        (in_late > early.c.to_utc, in_late),
        else_=early.c.to_utc,
    )
    next_one = sa.and_(late.c.zone == early.c.zone, late.c.from_utc == early.c.to_utc)
    return (
        sa.select(found)
        .select_from(given.join(early, early.c.from_utc == latest.scalar_subquery()).outerjoin(late, next_one))
        .where(early.c.zone == zone)
        .correlate_except(given, early, late)
        .scalar_subquery()
    )


def days_at(zone: Expression, start: Expression, days: int | Expression, at: time | None = None) -> Expression:
    """So many calendar days after each `start`, at a clock time (the same one if none is given)."""
    given = _given(clock=utc_to_local(zone, start))
    base = given.c.clock if at is None else midnight(given.c.clock) + time_micros(at)
    return _asked(given, local_to_utc(zone, base + days * DAY))


def add_months(zone: Expression, at: Expression, months: int) -> Expression:
    """Each `at` plus calendar months on its zone's clock, at most the month's last day."""
    if months == 0:  # not there and back: in the second pass of a repeated hour that would lead to the first
        return at
    local = _given(clock=utc_to_local(zone, at))
    month = _given(local, clock=local.c.clock, number=_month_number(local.c.clock))
    clock, number = month.c.clock, month.c.number
    target = _given(
        month,
        clock=clock,
        same_day=_month_start(number + months) + midnight(clock) - _month_start(number),
        last_day=_month_start(number + months + 1) - DAY,
    )
    day = sa.case((target.c.same_day < target.c.last_day, target.c.same_day), else_=target.c.last_day)
    return _asked(target, local_to_utc(zone, day + _time_of_day(target.c.clock)))


def at_local(zone: Expression, local: datetime) -> Expression:
    """The instant at which each zone's clock shows `local`."""
    return local_to_utc(zone, sa.literal(clock_micros(local), sa.BigInteger))


def next_weekday_at(zone: Expression, start: Expression, weekdays: Collection[int], at: time) -> Expression:
    """The first instant after each `start` that is `at` on one of `weekdays` (Monday = 0): today if still ahead."""
    local = _given(start=start, clock=utc_to_local(zone, start))
    given = _given(local, start=local.c.start, today=midnight(local.c.clock))
    today = given.c.today

    def candidate(number: int) -> Expression:
        ahead = {day: _days_ahead(weekdays, day)[number] * DAY for day in range(7)}
        return local_to_utc(zone, today + sa.case(ahead, value=weekday(today)) + time_micros(at))

    # The second can be over too: where a repeated hour crosses midnight, tomorrow's first minutes have already been.
    first, second, third = candidate(0), candidate(1), candidate(2)
    return _asked(given, sa.case((first > given.c.start, first), (second > given.c.start, second), else_=third))


def date_at(
    zone: Expression, text: Expression, at: time, *, seconds: int = 0, months: int = 0, year: Expression | None = None
) -> Expression:
    """The instant at which each zone's clock shows `at` on a date (ISO text), so long after it; NULL for NULL.

    With `year` the date's day in that year; 29 February is the 28th in common years.
    """
    part = [sa.cast(sa.func.substr(text, start, size), sa.BigInteger) for start, size in ((1, 4), (6, 2), (9, 2))]
    given = _given(number=(part[0] if year is None else year) * 12 + part[1] - 3 + months, day=part[2])
    same_day, last_day = _month_start(given.c.number) + (given.c.day - 1) * DAY, _month_start(given.c.number + 1) - DAY
    day = sa.case((same_day < last_day, same_day), else_=last_day)
    return _asked(given, local_to_utc(zone, day + seconds * SECOND + time_micros(at)))


def anniversary_at(
    zone: Expression, text: Expression, after: Expression, at: time, *, seconds: int = 0, months: int = 0
) -> Expression:
    """The first such instant of any year that lies on the day of `after` or later: today's, though it be over."""
    given = _given(clock=utc_to_local(zone, after), text=text)
    today, c = midnight(given.c.clock), given.c
    this_year = _whole(_month_number(c.clock) + 2, 12)
    years = [this_year + n for n in (-1, 0, 1, 2)]
    instants = [date_at(zone, c.text, at, seconds=seconds, months=months, year=year) for year in years]
    begin = local_to_utc(zone, today)
    return _asked(given, sa.case(*((instant >= begin, instant) for instant in instants)))


def next_time_at(zone: Expression, start: Expression, at: time) -> Expression:
    """The first instant after each `start` at which the clock shows `at`."""
    return next_weekday_at(zone, start, range(7), at)


def next_allowed(zone: Expression, at: Expression, windows: Sequence[Window]) -> Expression:
    """Each `at`, or the first instant after it at which the zone's clock stands outside all windows."""
    if union_is_whole_day(windows):
        raise ValueError("these windows leave no minute of the day free")
    # One step more than windows: the end of one can fall into the gap, and from there into another.
    for _ in range(len(windows) + 1 if windows else 0):
        at = leave_window(zone, at, windows)
    return at


def leave_spans(zone: Expression, at: Expression, spans: Sequence[tuple[int, int]]) -> Expression:
    """Each `at`, or the end of the first span of clock times (of given days) in which the zone's clock stands then."""
    if not spans:
        return at
    given = _given(at=at, clock=utc_to_local(zone, at))
    clock = given.c.clock
    ends = [(sa.and_(clock >= start, clock < end), sa.literal(end, sa.BigInteger)) for start, end in spans]
    held = _given(given, at=given.c.at, clock=clock, end=sa.case(*ends))
    return _asked(held, _left(zone, held.c))


def is_in_window(zone: Expression, at: Expression, windows: Sequence[Window]) -> Expression:
    """Does the zone's clock stand in one of the windows at each instant?"""
    given = _given(clock=utc_to_local(zone, at))
    return _asked(given, sa.or_(sa.false(), *(_holds(window, _time_of_day(given.c.clock)) for window in windows)))


def period_start(zone: Expression, at: Expression, period: Period) -> Expression:
    """The beginning of the day, week (Monday) or month on each zone's calendar that holds the instant."""
    given = _given(clock=utc_to_local(zone, at))
    return _asked(given, local_to_utc(zone, _first_midnight(given.c.clock, period)))


def period_end(zone: Expression, at: Expression, period: Period) -> Expression:
    """The beginning of the next day, week or month on each zone's calendar."""
    given = _given(clock=utc_to_local(zone, at))
    begun = _given(given, first=_first_midnight(given.c.clock, period))
    first = begun.c.first
    following = {"day": first + DAY, "week": first + 7 * DAY, "month": _first_midnight(first + 32 * DAY, "month")}
    return _asked(begun, local_to_utc(zone, following[period]))


def midnight(clock: Expression) -> Expression:
    """The clock time 00:00 of the same day."""
    return clock - _time_of_day(clock)


def weekday(clock: Expression) -> Expression:
    """The weekday of a clock time, Monday = 0; 1 January 1970 was a Thursday."""
    return (_day_number(clock) + 3 - _SHIFT % 7 + 7) % 7


def _given(source: sa.FromClause | None = None, /, **columns: Expression) -> sa.Subquery:
    """The arguments as one row, so that SQL computes each once however often an expression names it.

    OFFSET 0 is the fence: without it PostgreSQL's planner writes each expression out at every place that names it, and
    a few of them within one another take all memory before the first row is read.
    """
    labelled = sa.select(*(expression.label(name) for name, expression in columns.items()))
    if source is None:
        return labelled.correlate_except().offset(_NOUGHT).subquery()
    return labelled.select_from(source).correlate_except(source).offset(_NOUGHT).subquery()


def _asked(given: sa.FromClause, answer: Expression) -> Expression:
    return sa.select(answer).select_from(given).correlate_except(given).scalar_subquery()


def _day_number(clock: Expression) -> Expression:
    """Days since 1970, plus _SHIFT: never negative."""
    return (clock + _SHIFT * DAY) // _A_DAY


def _time_of_day(clock: Expression) -> Expression:
    return (clock + _SHIFT * DAY) % _A_DAY


def _days_ahead(weekdays: Collection[int], today: int) -> list[int]:
    """The three nearest days, from today on, that fall on one of `weekdays`."""
    if not weekdays or not set(weekdays) <= set(range(7)):
        raise ValueError(f"weekdays are numbers from 0 (Monday) to 6, at least one: {weekdays!r}")
    return [ahead for ahead in range(22) if (today + ahead) % 7 in weekdays][:3]


def _holds(window: Window, time_of_day: Expression) -> Expression:
    after_start, before_end = time_of_day >= time_micros(window.start), time_of_day < time_micros(window.end)
    return sa.or_(after_start, before_end) if window.is_over_midnight else sa.and_(after_start, before_end)


def leave_window(zone: Expression, at: Expression, windows: Sequence[Window]) -> Expression:
    """Each `at`, or the end of the first window that holds it: one step of `next_allowed`."""
    given = _given(at=at, clock=utc_to_local(zone, at))
    time_of_day = _time_of_day(given.c.clock)
    ends = [(_holds(window, time_of_day), midnight(given.c.clock) + _end_of(window, time_of_day)) for window in windows]
    held = _given(given, at=given.c.at, clock=given.c.clock, end=sa.case(*ends))
    return _asked(held, _left(zone, held.c))


def _left(zone: Expression, held: Any) -> Expression:
    """`held.at`, or where there is an end the instant at which the clock comes to it."""
    left = local_to_utc(zone, held.end)
    again = held.at + held.end - held.clock  # the second pass of a repeated hour: the clock gets there once more
    return sa.case((held.end.is_(None), held.at), (left > held.at, left), else_=again)


def _end_of(window: Window, time_of_day: Expression) -> Expression:
    end = sa.literal(time_micros(window.end), sa.BigInteger)
    if not window.is_over_midnight:
        return end
    return end + sa.case((time_of_day >= time_micros(window.start), DAY), else_=0)


def _first_midnight(clock: Expression, period: Period) -> Expression:
    day = midnight(clock)
    match period:
        case "day":
            return day
        case "week":
            return day - weekday(day) * DAY
        case "month":
            month = _given(number=_month_number(clock))
            return _asked(month, _month_start(month.c.number))


def _month_number(clock: Expression) -> Expression:
    """Months since March of the year 0, after Howard Hinnant's `civil_from_days`: integers only, no dialect's dates."""
    march_0 = _given(n=_day_number(clock) + (719_468 - _SHIFT))
    era = _given(march_0, no=_whole(march_0.c.n, 146_097), d=march_0.c.n % 146_097)
    d = era.c.d
    year_in_era = _whole(d - _whole(d, 1460) + _whole(d, 36_524) - _whole(d, 146_096), 365)
    year = _given(era, no=era.c.no, d=d, y=year_in_era)
    y = year.c.y
    march = _given(year, y=year.c.no * 400 + y, d=year.c.d - (365 * y + _whole(y, 4) - _whole(y, 100)))
    return _asked(march, march.c.y * 12 + _whole(5 * march.c.d + 2, 153))


def _month_start(number: Expression) -> Expression:
    """The clock time at which the month of this number begins."""
    y = _whole(number, 12)
    days = 365 * y + _whole(y, 4) - _whole(y, 100) + _whole(y, 400) + _whole(153 * (number % 12) + 2, 5)
    return (days - 719_468) * DAY


def _whole(number: Expression, by: int) -> Expression:
    return number // sa.literal_column(str(by), sa.BigInteger)

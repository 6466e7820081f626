"""The clock times of entries by the calendar, without a zone: what a clock must show, whichever clock it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, assert_never

from carillon.definition.entries import WEEKDAYS, At, Cron, Every, OnDate, Rrule, Scheduled

BACK, AHEAD = timedelta(days=33), timedelta(days=63)
FAR_AHEAD = timedelta(days=366 * 5)
"""A cron expression may mean 29 February."""
NO_FIRST_DAY = datetime.fromisoformat("2020-01-06")
"""A rule that names no DTSTART must not depend on it (`check` sees to that): this one is as good as any."""


def going_back(entry: Scheduled, clock: datetime) -> Iterator[datetime]:
    """Clock times that come, the newest first: from a day after `clock`, which no zone has passed, back through a month."""
    start, end = clock + timedelta(days=2), clock - BACK
    match entry:
        case At(at=at):
            yield at
        case Every() | OnDate():
            yield from _each_day(entry, start, -1, (start - end).days)
        case Cron(cron=text):
            from cronsim import CronSim

            yield from takewhile(lambda at: at >= end, CronSim(text, start, reverse=True))
        case Rrule(rrule=text):
            at = _rule(text).before(start, inc=True)
            while at is not None and at >= end:
                yield at
                at = _rule(text).before(at)
        case _:
            assert_never(entry)


def going_ahead(entry: Scheduled, clock: datetime) -> Iterator[datetime]:
    """Clock times to come, the next first: from two days before `clock`, which every zone has passed."""
    start = clock - timedelta(days=2)
    match entry:
        case At(at=at):
            yield at
        case Every() | OnDate():
            yield from _each_day(entry, start, 1, AHEAD.days)
        case Cron(cron=text):
            from cronsim import CronSim

            yield from takewhile(lambda at: at <= start + FAR_AHEAD, CronSim(text, start))
        case Rrule(rrule=text):
            yield from takewhile(lambda at: at <= start + FAR_AHEAD, _rule(text).xafter(start, inc=True))
        case _:
            assert_never(entry)


def _each_day(entry: Every | OnDate, start: datetime, step: int, days: int) -> Iterator[datetime]:
    for n in range(days):
        day = start.date() + timedelta(days=n * step)
        if isinstance(entry, OnDate) or _is_on(entry, day.day, day.weekday()):
            yield datetime.combine(day, entry.at)


def _is_on(entry: Every, day: int, weekday: int) -> bool:
    return day == 1 if entry.on == "month" else WEEKDAYS[weekday] in entry.on


def _rule(text: str) -> Any:
    from dateutil.rrule import rrulestr

    return rrulestr(text, dtstart=NO_FIRST_DAY)

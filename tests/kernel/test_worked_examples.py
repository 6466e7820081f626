"""The golden table of local time: every row is one that `plan` could print, with the reason beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time

import pytest

from carillon.kernel.clock import Micros, from_micros, to_micros
from carillon.kernel.time.calendar import (
    add_span,
    at_clock,
    days_at,
    local_to_utc,
    next_anniversary,
    next_weekday_at,
    period_end,
    period_start,
)
from carillon.kernel.time.occurrences import Monthly, Weekly, next_occurrence
from carillon.kernel.time.windows import Window, next_allowed

BERLIN, NEW_YORK, LORD_HOWE, APIA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"
NIGHT = [Window(time(21), time(8))]


def utc(text: str) -> Micros:
    return to_micros(datetime.fromisoformat(text + "+00:00"))


def clock(text: str) -> datetime:
    return datetime.fromisoformat(text)


EXAMPLES: list[tuple[str, Callable[[], Micros], str]] = [
    # A clock time and its instant
    ("an ordinary winter morning", lambda: local_to_utc(BERLIN, clock("2026-12-01 09:00")), "2026-12-01 08:00"),
    ("02:30 does not exist: 03:00 summer time", lambda: local_to_utc(BERLIN, clock("2026-03-29 02:30")), "2026-03-29 01:00"),
    ("02:30 exists twice: the first", lambda: local_to_utc(BERLIN, clock("2026-10-25 02:30")), "2026-10-25 00:30"),
    ("a gap of half an hour", lambda: local_to_utc(LORD_HOWE, clock("2026-10-04 02:15")), "2026-10-03 15:30"),
    ("half an hour twice", lambda: local_to_utc(LORD_HOWE, clock("2026-04-05 01:45")), "2026-04-04 14:45"),
    ("Samoa had no 30 December 2011", lambda: local_to_utc(APIA, clock("2011-12-30 12:00")), "2011-12-30 10:00"),
    ("Nepal is 5:45 ahead", lambda: local_to_utc("Asia/Kathmandu", clock("2026-06-01 09:00")), "2026-06-01 03:15"),
    ("Chatham is 12:45 ahead", lambda: local_to_utc("Pacific/Chatham", clock("2026-06-01 09:00")), "2026-05-31 20:15"),
    ("St John's is 2:30 behind in summer", lambda: local_to_utc("America/St_Johns", clock("2026-07-01 09:00")), "2026-07-01 11:30"),
    ("Morocco goes back an hour for Ramadan", lambda: local_to_utc("Africa/Casablanca", clock("2026-02-20 09:00")), "2026-02-20 09:00"),
    # wait: 3d · 1mo · 1y
    ("1d is 24 hours, whatever the clock does", lambda: add_span(BERLIN, utc("2026-03-28 08:00"), seconds=86_400), "2026-03-29 08:00"),
    ("1mo keeps the clock time", lambda: add_span(BERLIN, utc("2026-03-15 08:00"), months=1), "2026-04-15 07:00"),
    ("31 January + 1mo is the last of February", lambda: add_span(BERLIN, utc("2026-01-31 08:00"), months=1), "2026-02-28 08:00"),
    ("1y from 29 February", lambda: add_span(BERLIN, utc("2028-02-29 08:00"), months=12), "2029-02-28 08:00"),
    # wait: {days: 1, at: 09:00}
    ("days follow the clock over the change", lambda: days_at(BERLIN, utc("2026-03-28 22:00"), 1, time(9)), "2026-03-29 07:00"),
    ("late in the evening is still today", lambda: days_at(BERLIN, utc("2026-06-01 21:59"), 1, time(9)), "2026-06-02 07:00"),
    ("after local midnight it is tomorrow", lambda: days_at(BERLIN, utc("2026-06-01 22:00"), 1, time(9)), "2026-06-03 07:00"),
    ("without `at` the same clock time", lambda: days_at(NEW_YORK, utc("2026-10-31 14:00"), 1), "2026-11-01 15:00"),
    # wait: {until: monday, at: 09:00}; 2026-06-01 is a Monday
    ("today if still ahead", lambda: next_weekday_at(BERLIN, utc("2026-06-01 06:59"), [0], time(9)), "2026-06-01 07:00"),
    ("the instant itself is over", lambda: next_weekday_at(BERLIN, utc("2026-06-01 07:00"), [0], time(9)), "2026-06-08 07:00"),
    ("the next of several", lambda: next_weekday_at(BERLIN, utc("2026-06-01 07:00"), [0, 3], time(9)), "2026-06-04 07:00"),
    ("Sunday of the change", lambda: next_weekday_at(BERLIN, utc("2026-03-27 12:00"), [6], time(2, 30)), "2026-03-29 01:00"),
    # entry: {every: …}
    ("every day", lambda: next_occurrence(Weekly(time(9)), BERLIN, utc("2026-06-01 07:00")), "2026-06-02 07:00"),
    ("every month is its first day", lambda: next_occurrence(Monthly(time(9)), BERLIN, utc("2026-06-01 07:00")), "2026-07-01 07:00"),
    ("every month on the 31st: April has 30", lambda: next_occurrence(Monthly(time(9), day=31), BERLIN, utc("2026-04-01 07:00")), "2026-04-30 07:00"),
    # entry: {date: birthday, every: year, offset: -7d, at: 10:00}
    ("born on 29 February, common year", lambda: next_anniversary(BERLIN, utc("2026-01-01 00:00"), date(1992, 2, 29), time(10)), "2026-02-28 09:00"),
    ("born on 29 February, leap year", lambda: next_anniversary(BERLIN, utc("2028-01-01 00:00"), date(1992, 2, 29), time(10)), "2028-02-29 09:00"),
    ("a week before 3 January lies in December", lambda: next_anniversary(BERLIN, utc("2026-12-01 00:00"), date(1990, 1, 3), time(10), offset_days=-7), "2026-12-27 09:00"),
    ("the offset's own day once it is over", lambda: next_anniversary(BERLIN, utc("2026-12-27 09:00"), date(1990, 1, 3), time(10), offset_days=-7), "2027-12-27 09:00"),
    # quiet_hours: 21:00-08:00
    ("allowed stays", lambda: next_allowed(BERLIN, utc("2026-06-01 10:00"), NIGHT), "2026-06-01 10:00"),
    ("21:00 is quiet, until tomorrow", lambda: next_allowed(BERLIN, utc("2026-06-01 19:00"), NIGHT), "2026-06-02 06:00"),
    ("after midnight until the same day", lambda: next_allowed(BERLIN, utc("2026-06-01 23:00"), NIGHT), "2026-06-02 06:00"),
    ("08:00 is allowed", lambda: next_allowed(BERLIN, utc("2026-06-02 06:00"), NIGHT), "2026-06-02 06:00"),
    ("two windows that touch", lambda: next_allowed(BERLIN, utc("2026-06-01 20:00"), [*NIGHT, Window(time(8), time(10))]), "2026-06-02 08:00"),
    ("the end is in the gap", lambda: next_allowed(BERLIN, utc("2026-03-29 00:00"), [Window(time(22), time(2, 30))]), "2026-03-29 01:00"),
    ("the hour is repeated: quiet again", lambda: next_allowed(BERLIN, utc("2026-10-25 01:10"), [Window(time(22), time(2, 30))]), "2026-10-25 01:30"),
    # per: day | week | month
    ("the day of the change has 23 hours", lambda: period_end(BERLIN, utc("2026-03-29 10:00"), "day"), "2026-03-29 22:00"),
    ("the week begins on Monday", lambda: period_start(NEW_YORK, utc("2026-06-07 03:00"), "week"), "2026-06-01 04:00"),
    ("the month", lambda: period_start(NEW_YORK, utc("2026-06-01 03:00"), "month"), "2026-05-01 04:00"),
    ("the next month", lambda: period_end(NEW_YORK, utc("2026-12-15 12:00"), "month"), "2027-01-01 05:00"),
    ("a day that begins in the gap", lambda: at_clock("Africa/Cairo", date(2026, 4, 24), time()), "2026-04-23 22:00"),
]  # fmt: skip


@pytest.mark.parametrize("meaning, answer, expected", EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_local_time_by_example(meaning: str, answer: Callable[[], Micros], expected: str) -> None:
    """Each example of local time has exactly this instant."""
    assert from_micros(answer()).strftime("%Y-%m-%d %H:%M") == expected, meaning

"""Instants as files write them: ISO 8601, epoch numbers, or a clock time of a zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from carillon.kernel.clock import Micros, all_micros, to_micros
from carillon.kernel.time.calendar import at_clock, local_to_utc
from carillon.kernel.time.zones import offset_at

_MICROSECOND = timedelta(microseconds=1)
_EARLIEST, _LATEST = to_micros(datetime(1900, 1, 1, tzinfo=UTC)), to_micros(datetime(2200, 1, 1, tzinfo=UTC))


def instant_reader(zone: str, pattern: str | None = None) -> Callable[[Any], Micros]:
    """Reads instants; a time without an offset is on the clock of `zone`. `pattern` is strptime's. Raises ValueError."""
    day_offset = lru_cache(maxsize=4_096)(_offset_of_day)

    def read_text(text: str) -> Micros:
        stripped = text.strip()
        if stripped.isdigit() and len(stripped) >= 9 and pattern is None:
            return epoch(int(stripped))
        return read_datetime(_parsed(stripped, pattern))

    def read_datetime(at: datetime) -> Micros:
        if at.tzinfo is not None:
            return _plausible(to_micros(at))
        offset = day_offset(zone, at.date())
        if offset is None:  # the clock is changed on this day
            return _plausible(local_to_utc(zone, at))
        return _plausible(to_micros(at.replace(tzinfo=UTC)) - offset)

    def read(value: Any) -> Micros:
        match value:
            case str():
                return read_text(value)
            case datetime():
                return read_datetime(value)
            case date():
                return read_datetime(datetime.combine(value, time()))
            case bool():
                raise ValueError(f"no instant: {value}")
            case int() | float():
                return epoch(value)
            case _:
                raise ValueError(f"no instant: {value!r}")

    return read


def instants_reader(zone: str, pattern: str | None = None) -> Callable[[list[str]], list[Micros]]:
    """The same for a whole column of texts; refuses all of it where one cannot be read so (`instant_reader` says which)."""
    read_one = instant_reader(zone, pattern)

    def read(texts: list[str]) -> list[Micros]:
        stripped = list(map(str.strip, texts))
        if pattern is not None or any(map(str.isdigit, stripped)):  # epoch numbers
            return list(map(read_one, stripped))
        found = list(map(datetime.fromisoformat, stripped))
        try:
            instants = all_micros(found)
        except TypeError:  # one has no zone
            return list(map(read_one, found))
        _plausible(min(instants)), _plausible(max(instants))
        return instants

    return read


def epoch(number: float) -> Micros:
    """Seconds, milliseconds or microseconds since 1970: the size says which. Raises ValueError."""
    for unit in (1_000_000, 1_000, 1):
        if abs(number) * unit < _LATEST:
            return _plausible(round(number * unit))
    raise ValueError(f"no instant: {number!r} lies beyond the year 2200")


def day_text(value: Any, pattern: str | None = None) -> str:
    """A calendar day as `YYYY-MM-DD`. Raises ValueError."""
    match value:
        case datetime():
            return value.date().isoformat()
        case date():
            return value.isoformat()
        case str():
            return _parsed(value.strip(), pattern).date().isoformat()
        case _:
            raise ValueError(f"no date: {value!r}")


def _parsed(text: str, pattern: str | None) -> datetime:
    if pattern is not None:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone comes afterwards
        except ValueError:
            raise ValueError(f"{text!r} is not written as {pattern}") from None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no date or time: write 2026-12-01 09:00, or name the pattern (--dates %d.%m.%Y)"
        ) from None


def _offset_of_day(zone: str, day: date) -> Micros | None:
    """How far the clock is ahead on this day, or None where it is changed."""
    begin, end = at_clock(zone, day, time()), at_clock(zone, day + timedelta(days=1), time())
    offset = offset_at(zone, begin)
    return offset if offset_at(zone, end) == offset and end - begin == timedelta(days=1) // _MICROSECOND else None


def _plausible(at: Micros) -> Micros:
    if not _EARLIEST <= at < _LATEST:
        raise ValueError("the instant lies before 1900 or after 2199")
    return at

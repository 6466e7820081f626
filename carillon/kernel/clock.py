"""Clocks: the time is always an argument.

Two clocks travel through the engine. *Campaign time* (due instants, quiet hours, caps) may be virtual; *machine time*
(leases, time-outs, back-off, pace) never is. Both are a `Clock`. Instants are stored as 64-bit microseconds UTC
(`Micros`); aware datetimes appear only at the edges.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

Micros = int
"""Microseconds since 1970-01-01T00:00:00Z; may be negative."""

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(at: datetime) -> Micros:
    """The instant as stored; raises ValueError for a naive datetime."""
    if at.tzinfo is None:
        raise ValueError(f"an instant needs its time zone: {at!r}")
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def all_micros(instants: Iterable[datetime]) -> list[Micros]:
    """`to_micros` of many, in half the time; raises TypeError where one is naive."""
    return [(at - _EPOCH) // _MICROSECOND for at in instants]


def from_micros(us: Micros) -> datetime:
    """The stored instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def clock_time(us: Micros, zone: str) -> str:
    """`Mon 22 Mar 2027 21:00 CET`: an instant as people read it, on the clock of this zone, which it names."""
    return f"{from_micros(us).astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M %Z}"


class Clock(Protocol):
    """What tells the time; passed in, never asked of the system inside a stage."""

    def now(self) -> Micros:
        """The present instant."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> Micros:
        return time.time_ns() // 1000


@dataclass(slots=True)
class VirtualClock:
    """A clock that stands until it is moved: for tests, `simulate` and the demo."""

    at: Micros = field(default=0)

    def now(self) -> Micros:
        return self.at

    def move_to(self, at: Micros) -> None:
        """Go forward to `at`; raises ValueError for a step back, because stages may assume time never does."""
        if at < self.at:
            raise ValueError("a virtual clock does not go back")
        self.at = at

"""Windows: forbidden times of the day on a contact's clock, such as quiet hours from 21:00 to 08:00."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from carillon.kernel.clock import Micros
from carillon.kernel.time.calendar import clock_micros, local_to_utc, utc_to_local


@dataclass(frozen=True, slots=True)
class Window:
    """Every day from `start` up to, not including, `end`; over midnight if `end` is not later. Never a whole day."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError(f"a window from {self.start} to {self.end} would be all day or never: say which")

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    @property
    def is_over_midnight(self) -> bool:
        return self.end < self.start

    def holds(self, clock: time) -> bool:
        """Does a clock time lie in the window?"""
        if self.is_over_midnight:
            return clock >= self.start or clock < self.end
        return self.start <= clock < self.end

    def end_after(self, local: datetime) -> datetime:
        """The clock time at which the window that holds `local` ends."""
        tomorrow = self.is_over_midnight and local.time() >= self.start
        return datetime.combine(local.date() + timedelta(days=tomorrow), self.end)


def next_allowed(zone_name: str, at: Micros, windows: Sequence[Window]) -> Micros:
    """`at`, or the first instant after it at which the zone's clock stands outside all windows."""
    if union_is_whole_day(windows):
        raise ValueError("these windows leave no minute of the day free")
    while True:
        local = utc_to_local(zone_name, at)
        inside = next((window for window in windows if window.holds(local.time())), None)
        if inside is None:
            return at
        at = _left(zone_name, at, local, inside.end_after(local))


def _left(zone_name: str, at: Micros, local: datetime, end: datetime) -> Micros:
    left = local_to_utc(zone_name, end)
    # In the second pass of a repeated hour the first instant of `end` is over: the clock reaches it once more.
    return left if left > at else at + clock_micros(end) - clock_micros(local)


def union_is_whole_day(windows: Sequence[Window]) -> bool:
    """Do the windows together forbid every instant of the day? Then nothing could ever be sent."""
    return bool(windows) and all(any(other.holds(window.end) for other in windows) for window in windows)

"""Periods: stretches in which a zone's clock is not changed, the rows of `core.zone_period`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from carillon.kernel.clock import DAY, SECOND, Micros, from_micros, to_micros
from carillon.kernel.time.calendar import change_between
from carillon.kernel.time.zones import offset_at, zone

EXACT_FROM: Micros = to_micros(datetime(2000, 1, 1, tzinfo=UTC))
EXACT_UNTIL: Micros = to_micros(datetime(2051, 1, 1, tzinfo=UTC))
"""The stretch for which `core.zone_period` is filled; the first and the last period go on for ever beyond it."""

ALWAYS_BEFORE: Micros = -(2**60)
ALWAYS_AFTER: Micros = 2**60


class ZonePeriodRow(NamedTuple):
    """In [from_utc, to_utc) the zone's clock is UTC + offset."""

    zone: str
    from_utc: Micros
    to_utc: Micros
    offset: Micros


def zone_periods(
    zones: Iterable[str], from_utc: Micros = EXACT_FROM, to_utc: Micros = EXACT_UNTIL
) -> Iterator[ZonePeriodRow]:
    """The periods of each zone, exact in [from_utc, to_utc) and without end on both sides, so that no join loses a row."""
    for name in sorted(set(zones)):
        changes = _changes(name, from_utc, to_utc)
        starts = [ALWAYS_BEFORE, *changes]
        ends = [*changes, ALWAYS_AFTER]
        for start, end in zip(starts, ends, strict=True):
            yield ZonePeriodRow(name, start, end, offset_at(name, max(start, from_utc)))


@lru_cache(maxsize=1024)  # nine thousand questions of a clock a zone
def _changes(name: str, from_utc: Micros, to_utc: Micros) -> tuple[Micros, ...]:
    return tuple(_looked_for(name, from_utc, to_utc))


def _looked_for(name: str, from_utc: Micros, to_utc: Micros) -> Iterator[Micros]:
    """Instants in (from_utc, to_utc) at which the clock is changed.

    Looked for every two days: the shortest period of all zones between 2000 and 2051 is a week (Recife in 2000, Gaza's
    Ramadan in 2040).
    """
    clock, before = zone(name), from_utc
    offset = from_micros(before).astimezone(clock).utcoffset()
    while before < to_utc:
        after = min(before + 2 * DAY, to_utc)
        new = datetime.fromtimestamp(after // SECOND, clock).utcoffset()
        if new != offset:
            yield change_between(name, before, after)
        before, offset = after, new

"""When scheduled entries come due: instants on the workspace's clock, or on each contact's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from carillon.definition.entries import WEEKDAYS, At, Every, Zone
from carillon.journey.ground import Ground
from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.time.calendar import clock_micros, local_to_utc, utc_to_local
from carillon.store import localtime
from carillon.store import tables as t

Scheduled = At | Every
"""Entries that come by the calendar."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One occurrence: `at` is its snapshot, the instant at which the clock time comes to the first zone."""

    ref: str
    at: Micros
    local: datetime
    zone: Zone
    if_late: Micros
    """How long after its clock time has come to a contact they may still be taken in."""

    def instant_for(self, zone: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """When it comes to a contact in this zone."""
        if self.zone == "contact":
            return localtime.local_to_utc(zone, sa.literal(clock_micros(self.local), sa.BigInteger()))
        return sa.literal(self.at, sa.BigInteger())


def occasions(ground: Ground, entry: Scheduled) -> Iterator[Occasion]:
    """The newest occurrence that has come by now, if there is one that this campaign may still look at.

    Older ones that were missed are gone: a run after a day of silence sends today's newsletter, not three.
    """
    zones = _zones(ground, entry.zone)
    for local in _candidates(ground, entry):
        at = min(local_to_utc(z, local) for z in zones)
        if at > ground.now or not _is_within(ground, local):
            continue
        if isinstance(entry, Every) and at < ground.applied.first_applied_at:
            return
        yield _occasion(ground, entry, local, at)
        return


def next_occasion(ground: Ground, entry: Scheduled) -> Micros | None:
    """The first snapshot later than now, or None where none will come."""
    occasion = next_occasion_of(ground, entry)
    return occasion.at if occasion else None


def next_occasion_of(ground: Ground, entry: Scheduled) -> Occasion | None:
    """The first occurrence whose snapshot is later than now, or None where none will come."""
    zones = _zones(ground, entry.zone)
    ahead = []
    for local in _candidates(ground, entry, future=True):
        at = min(local_to_utc(z, local) for z in zones)
        if at > ground.now and _is_within(ground, local):
            ahead.append(_occasion(ground, entry, local, at))
    return min(ahead, key=lambda occasion: occasion.at, default=None)


def _occasion(ground: Ground, entry: Scheduled, local: datetime, at: Micros) -> Occasion:
    ref = local.date().isoformat() if isinstance(entry, Every) else local.isoformat()
    return Occasion(ref, at, local, entry.zone, entry.if_late.seconds * SECOND)


def _candidates(ground: Ground, entry: Scheduled, *, future: bool = False) -> Iterator[datetime]:
    """Clock times to look at: going back from tomorrow, or (`future`) from yesterday on through two months."""
    if isinstance(entry, At):
        yield entry.at
        return
    today = utc_to_local("UTC", ground.now).date()
    steps = range(-1, 63) if future else range(1, -33, -1)
    for day in (today + timedelta(days=n) for n in steps):
        if day.day == 1 if entry.on == "month" else WEEKDAYS[day.weekday()] in entry.on:
            yield datetime.combine(day, entry.at)


def _is_within(ground: Ground, local: datetime) -> bool:
    plan = ground.applied.plan
    return (plan.starts is None or local >= plan.starts) and (plan.ends is None or local <= plan.ends)


def _zones(ground: Ground, zone: Zone) -> Sequence[str]:
    if zone == "workspace":
        return [ground.rules.timezone]
    with ground.store.read() as connection:
        return list(connection.scalars(sa.select(t.standing.c.zone).distinct())) or [ground.rules.timezone]

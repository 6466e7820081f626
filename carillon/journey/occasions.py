"""When scheduled entries come due: instants on the workspace's clock, or on each contact's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa

from carillon.definition.entries import At, Every, OnDate, Scheduled, Zone
from carillon.journey.ground import Ground
from carillon.journey.recurrences import going_ahead, going_back
from carillon.kernel.clock import DAY, SECOND, Micros
from carillon.kernel.time.calendar import clock_micros, local_to_utc, utc_to_local
from carillon.store import localtime
from carillon.store import tables as t

LOOKED_AT_AHEAD = 16
"""Clock times ahead of now among which the first snapshot is: zones stand 26 hours apart at most."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One occurrence: `at` is its snapshot, the instant at which the clock time comes to the first zone."""

    ref: str
    at: Micros
    local: datetime
    zone: Zone
    workspace_zone: str
    if_late: Micros | None
    """How long after its clock time has come to a contact they may still be taken in; None = to the end of the day."""

    def instant_for(self, zone: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """When it comes to a contact in this zone."""
        if self.zone == "contact":
            return localtime.local_to_utc(zone, sa.literal(clock_micros(self.local), sa.BigInteger()))
        return sa.literal(self.at, sa.BigInteger())

    def is_late(self, arrived_at: sa.ColumnElement[Any], zone: sa.ColumnElement[Any], now: Micros) -> Any:
        """Whether it is too late now for a contact to whom it came at `arrived_at`."""
        if self.if_late is not None:
            return arrived_at < now - self.if_late
        own = zone if self.zone == "contact" else sa.literal(self.workspace_zone)
        midnight = datetime.combine(self.local.date() + timedelta(days=1), time())
        return localtime.local_to_utc(own, sa.literal(clock_micros(midnight), sa.BigInteger())) <= now

    def may_be_late(self, now: Micros) -> bool:
        """Whether it can be too late for anybody."""
        return self.if_late is None or self.at < now - self.if_late

    def is_recent(self, now: Micros) -> bool:
        """Whether a wave that is not there yet would come in time for those to whom the occasion came first."""
        return now - self.at <= (DAY if self.if_late is None else self.if_late)

    def is_open(self, now: Micros) -> bool:
        """Whether it can still be in time for somebody."""
        return now - self.at <= (2 * DAY if self.if_late is None else self.if_late + 2 * DAY)


def occasions(ground: Ground, entry: Scheduled) -> Iterator[Occasion]:
    """The newest occurrence that has come by now, if there is one that this campaign may still look at.

    Older ones that were missed are gone: a run after a day of silence sends today's newsletter, not three. A `date`
    speaks to other people each day: all days that are not too late for everybody are looked at, the oldest first.
    """
    come = _come(ground, entry)
    if not isinstance(entry, OnDate):
        yield from islice(come, 1)
        return
    open_days = []
    for occasion in come:
        if not occasion.is_open(ground.now):
            break
        open_days.append(occasion)
    yield from reversed(open_days)


def _come(ground: Ground, entry: Scheduled) -> Iterator[Occasion]:
    """Occurrences that have come by now, the newest first, back to the first apply."""
    zones = _zones(ground, entry.zone)
    for local in going_back(entry, _clock(ground)):
        at = min(local_to_utc(z, local) for z in zones)
        if at > ground.now or not _is_within(ground, local):
            continue
        if not isinstance(entry, At) and at < _from(ground, entry):
            return
        yield _occasion(ground, entry, local, at)


def _from(ground: Ground, entry: Scheduled) -> Micros:
    """A day on each contact's own clock may have begun somewhere before the first apply, and be ahead elsewhere."""
    is_own_day = isinstance(entry, OnDate) and entry.zone == "contact"
    return ground.applied.first_applied_at - (2 * DAY if is_own_day else 0)


def next_occasion(ground: Ground, entry: Scheduled) -> Micros | None:
    """The first snapshot later than now, or None where none will come."""
    occasion = next_occasion_of(ground, entry)
    return occasion.at if occasion else None


def next_occasion_of(ground: Ground, entry: Scheduled) -> Occasion | None:
    """The first occurrence whose snapshot is later than now, or None where none will come."""
    zones = _zones(ground, entry.zone)
    ahead = (
        _occasion(ground, entry, local, at)
        for local in going_ahead(entry, _clock(ground))
        if (at := min(local_to_utc(z, local) for z in zones)) > ground.now and _is_within(ground, local)
    )
    return min(islice(ahead, LOOKED_AT_AHEAD), key=lambda occasion: occasion.at, default=None)


def _occasion(ground: Ground, entry: Scheduled, local: datetime, at: Micros) -> Occasion:
    is_day = isinstance(entry, Every | OnDate)
    ref = local.date().isoformat() if is_day else local.isoformat()
    if_late = None if entry.if_late is None else entry.if_late.seconds * SECOND
    return Occasion(ref, at, local, entry.zone, ground.rules.timezone, if_late)


def _clock(ground: Ground) -> datetime:
    return utc_to_local("UTC", ground.now)


def _is_within(ground: Ground, local: datetime) -> bool:
    plan = ground.applied.plan
    return (plan.starts is None or local >= plan.starts) and (plan.ends is None or local <= plan.ends)


def _zones(ground: Ground, zone: Zone) -> Sequence[str]:
    if zone == "workspace":
        return [ground.rules.timezone]
    with ground.store.read() as connection:
        return list(connection.scalars(sa.select(t.standing.c.zone).distinct())) or [ground.rules.timezone]

"""What a scheduler outside is told of an applied campaign: whether it has to know it, and at which hours it runs."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from carillon.definition.entries import WEEKDAYS, Every
from carillon.journey.ground import Ground
from carillon.store import tables as t


def is_wanted(ground: Ground) -> bool:
    """A campaign keeps its deployment until it is over and nobody is under way."""
    if ground.applied.wanted_state == "live" and ground.applied.operator_state != "stopped":
        return True
    e = t.enrolment.c
    with ground.store.read() as connection:
        live = sa.select(e.id).where(e.campaign_id == ground.applied.id, e.state == "live").limit(1)
        return connection.scalar(live) is not None


def scheduled_entries(ground: Ground) -> Iterator[Every]:
    """What a schedule of Prefect's can say. An hour on each contact's own clock it cannot: those runs are planned."""
    for entry in ground.applied.plan.entries:
        if isinstance(entry, Every) and entry.zone == "workspace":
            yield entry


def cron(entry: Every) -> str:
    """The entry's hours as cron writes them, in the workspace's zone."""
    minute, hour = entry.at.minute, entry.at.hour
    if entry.on == "month":
        return f"{minute} {hour} 1 * *"
    days = ",".join(str((WEEKDAYS.index(day) + 1) % 7) for day in entry.on)
    return f"{minute} {hour} * * {days if len(entry.on) < 7 else '*'}"

"""The calendar: what goes out in the next weeks, of which campaign, and to how many people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import OnDate, OnEvent, PlanEntry, Scheduled
from carillon.foresight.screen import entry_sentence
from carillon.journey.forecast import MONTH, would_enter
from carillon.journey.ground import Ground, load_ground
from carillon.journey.occasions import next_occasion_of
from carillon.journey.scheduled import people_of
from carillon.journey.take_in import UNDER_WAY, not_entered
from carillon.kernel.clock import DAY, MINUTE, Micros
from carillon.kernel.time.calendar import period_start
from carillon.plan.applied import applied_names
from carillon.store import tables as t
from carillon.store.engine import Store


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing that will happen: an entry's occurrence, or waits that end on a day."""

    at: Micros
    """Its instant; for waits the first of the day's."""
    campaign: str
    title: str
    what: str
    people: int
    is_forecast: bool
    """True: the audience as it is today. False: people who are under way already, unless they leave before."""


@dataclass(frozen=True, slots=True)
class Steady:
    """A campaign that takes people in by what they do: no date, but a usual number."""

    campaign: str
    title: str
    what: str
    a_day: float
    """Of the last 30 days."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The next weeks in the order in which they come."""

    at: Micros
    until: Micros
    timezone: str
    planned: tuple[Planned, ...]
    steady: tuple[Steady, ...]


def calendar(store: Store, now: Micros, until: Micros) -> Calendar:
    """What the applied campaigns that run will do; raises LookupError where nothing was ever applied."""
    with store.read() as connection:
        names = applied_names(connection)
    if not names:
        raise LookupError("nothing is applied yet: carillon apply --all")
    grounds = [ground for name in names if _runs(ground := load_ground(store, name, now))]
    planned, steady = list[Planned](), list[Steady]()
    with store.read() as connection:
        for ground in grounds:
            planned += _waits(connection, ground, until)
            for entry in ground.applied.plan.entries:
                if isinstance(entry, OnEvent):
                    steady.append(_steady(connection, ground, entry))
                elif isinstance(entry, Scheduled):
                    planned += _occurrences(connection, ground, entry, until)
    rows = sorted(planned, key=lambda p: (p.at, p.campaign, p.what))
    zone = grounds[0].rules.timezone if grounds else "UTC"
    return Calendar(now, until, zone, tuple(rows), tuple(sorted(steady, key=lambda s: s.campaign)))


def _runs(ground: Ground) -> bool:
    return ground.applied.wanted_state == "live" and ground.applied.operator_state == "running"


def _occurrences(connection: Connection, ground: Ground, entry: Scheduled, until: Micros) -> Iterator[Planned]:
    people: int | None = None
    ahead = ground
    while (occasion := next_occasion_of(ahead, entry)) is not None and occasion.at <= until:
        if people is None or isinstance(entry, OnDate):  # each day is somebody else's
            people = _expected(connection, ground, entry, people_of(ground, entry, occasion))
        if people or not isinstance(entry, OnDate):  # nobody's birthday is no event
            yield Planned(
                occasion.at,
                ground.applied.name,
                ground.applied.plan.title,
                entry_sentence(entry),
                people,
                is_forecast=True,
            )
        ahead = replace(ground, now=occasion.at)


def _expected(connection: Connection, ground: Ground, entry: PlanEntry, people: sa.Select[Any] | None = None) -> int:
    """Whom the entry would take in as things stand, by the Selects of a run; who is under way now may be through by then."""
    everybody = (would_enter(ground, entry) if people is None else people).subquery("candidate")
    reason = not_entered(ground, entry.again, everybody)
    return (
        connection.scalar(
            sa.select(sa.func.count()).select_from(everybody).where(sa.or_(reason.is_(None), reason == UNDER_WAY))
        )
        or 0
    )


def _steady(connection: Connection, ground: Ground, entry: OnEvent) -> Steady:
    entered = _expected(connection, ground, entry)
    return Steady(ground.applied.name, ground.applied.plan.title, entry_sentence(entry), entered / (MONTH / DAY))


def _waits(connection: Connection, ground: Ground, until: Micros) -> Iterator[Planned]:
    """People under way by the step at which they stand and the day on which its time comes, on the workspace's clock."""
    e, n = t.enrolment.c, t.node.c
    # Every zone's midnight stands on a quarter of an hour of UTC.
    quarter = e.due_at / sa.literal(15 * MINUTE, sa.BigInteger())
    rows = connection.execute(
        sa.select(
            n.step_id, quarter.label("quarter"), sa.func.min(e.due_at).label("first"), sa.func.count().label("people")
        )
        .join_from(t.enrolment, t.node, n.id == e.node_id)
        .where(e.campaign_id == ground.applied.id, e.state == "live", e.role == "treated")
        .where(e.due_at > ground.now, e.due_at <= until)
        .group_by(n.step_id, quarter)
    ).all()
    days: dict[tuple[str, Micros], tuple[Micros, int]] = {}
    for row in rows:
        key = row.step_id, period_start(ground.rules.timezone, row.first, "day")
        first, people = days.get(key, (row.first, 0))
        days[key] = min(first, row.first), people + row.people
    for (step_id, _), (first, people) in days.items():
        plan = ground.applied.plan
        yield Planned(first, plan.campaign, plan.title, f"{step_id} comes due", people, is_forecast=False)

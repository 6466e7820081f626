"""Which of the shop's events some campaign listens to: only these become signals, however many are imported."""

from __future__ import annotations

from functools import reduce

from carillon.audience.select import Dependencies, depends_on
from carillon.definition.entries import OnEvent, OnSegment
from carillon.journey.exits import exit_conditions
from carillon.journey.wake import waits_on
from carillon.plan.applied import Applied, applied_names, load_campaign
from carillon.store.engine import Store


def listens_to(applied: Applied) -> frozenset[str]:
    """The kinds of events that can take somebody into the campaign, on in it, or out of it."""
    entering = {entry.event for entry in applied.plan.entries if isinstance(entry, OnEvent)}
    watched = [entry for entry in applied.plan.entries if isinstance(entry, OnSegment)]
    moving = {event for entry in watched for event in depends_on(entry.condition).events | {"contact.created"}}
    return frozenset(entering | moving) | looks_at(applied).events


def looks_at(applied: Applied) -> Dependencies:
    """What can take somebody who is under way on in the campaign, or out of it."""
    plans = applied.versions.values()
    leaving = [depends_on(condition) for plan in plans for _, condition in exit_conditions(plan)]
    return reduce(Dependencies.__or__, [*leaving, *map(waits_on, plans)], Dependencies())


def heard_kinds(store: Store) -> frozenset[str]:
    """The kinds that any applied campaign listens to. One applied later looks forward only: it misses no signal."""
    with store.read() as connection:
        applied = [load_campaign(connection, name) for name in applied_names(connection)]
    return frozenset().union(*(listens_to(a) for a in applied))

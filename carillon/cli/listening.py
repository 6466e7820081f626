"""Which applied campaigns take people in by events, and from which instant on."""

from __future__ import annotations

from collections.abc import Iterator

from carillon.definition.entries import OnEvent
from carillon.kernel.clock import SECOND, Micros
from carillon.people.enrolling import Listening
from carillon.plan.applied import Applied, applied_names, load_campaign
from carillon.store.engine import Store


def listening(store: Store, now: Micros) -> list[Listening]:
    """Of each running campaign its entries by events; they look forward only, and not at what is too late."""
    with store.read() as connection:
        applied = [load_campaign(connection, name) for name in applied_names(connection)]
    return [one for a in applied if a.is_running and a.wanted_state == "live" for one in _entries(a, now)]


def _entries(applied: Applied, now: Micros) -> Iterator[Listening]:
    for entry in applied.plan.entries:
        if isinstance(entry, OnEvent):
            late = now - (entry.if_late.seconds + (entry.ripens_in or 0)) * SECOND
            yield Listening(applied.name, entry.event, max(applied.first_applied_at, late))

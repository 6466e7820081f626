"""Entries by the calendar: one wave an occurrence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import OnDate, Scheduled
from carillon.journey.dated import dated
from carillon.journey.everybody import everybody
from carillon.journey.ground import Ground
from carillon.journey.in_parts import in_parts
from carillon.journey.occasions import Occasion, occasions
from carillon.journey.take_in import KEPT_OUT, LATE, Entered, Wave, is_taken, take_in
from carillon.kernel.clock import Micros
from carillon.store import tables as t


def enter_scheduled(ground: Ground, entry: Scheduled) -> list[Entered]:
    """Take in the people of each occurrence that has come and has no wave yet."""
    entered = []
    for occasion in occasions(ground, entry):
        with ground.store.write("ledger") as connection:
            if is_taken(connection, ground, entry, occasion.ref):
                continue
            parts = (_judged(part, occasion, ground.now) for part in _parts(connection, ground, entry, occasion))
            entered.append(take_in(connection, ground, Wave(entry, occasion.ref, occasion.at), parts))
    return entered


def _parts(
    connection: Connection, ground: Ground, entry: Scheduled, occasion: Occasion
) -> Iterator[sa.Select[Any]]:  # fmt: skip
    if isinstance(entry, OnDate):
        yield people_of(ground, entry, occasion)
    else:
        yield from in_parts(connection, ground, occasion.instant_for(t.standing.c.zone))


def _judged(people: sa.Select[Any], occasion: Occasion, now: Micros) -> sa.Select[Any]:
    """With the reason of those for whom it is too late, where that may be."""
    if not occasion.may_be_late(now):
        return people
    p = people.subquery("matching")
    return sa.select(p, sa.case((occasion.is_late(p.c.arrived_at, p.c.zone, now), LATE)).label(KEPT_OUT))


def people_of(ground: Ground, entry: Scheduled, occasion: Occasion) -> sa.Select[Any]:
    """Everybody to whom an occurrence comes."""
    if isinstance(entry, OnDate):
        return dated(ground, entry, [occasion.local.date()])
    return everybody(ground, occasion.instant_for(t.standing.c.zone))

"""Entries by the calendar: one wave an occurrence."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from carillon.definition.entries import OnDate, Scheduled
from carillon.journey.dated import dated
from carillon.journey.everybody import everybody
from carillon.journey.ground import Ground
from carillon.journey.occasions import Occasion, occasions
from carillon.journey.take_in import KEPT_OUT, LATE, Entered, Wave, is_taken, take_in
from carillon.store import tables as t


def enter_scheduled(ground: Ground, entry: Scheduled) -> list[Entered]:
    """Take in the people of each occurrence that has come and has no wave yet."""
    entered = []
    for occasion in occasions(ground, entry):
        with ground.store.write("ledger") as connection:
            if is_taken(connection, ground, entry, occasion.ref):
                continue
            people = people_of(ground, entry, occasion)
            if occasion.may_be_late(ground.now):
                p = people.subquery("matching")
                is_late = occasion.is_late(p.c.arrived_at, p.c.zone, ground.now)
                people = sa.select(p, sa.case((is_late, LATE)).label(KEPT_OUT))
            entered.append(take_in(connection, ground, Wave(entry, occasion.ref, occasion.at), people))
    return entered


def people_of(ground: Ground, entry: Scheduled, occasion: Occasion) -> sa.Select[Any]:
    """Everybody to whom an occurrence comes."""
    if isinstance(entry, OnDate):
        return dated(ground, entry, [occasion.local.date()])
    return everybody(ground, occasion.instant_for(t.standing.c.zone))

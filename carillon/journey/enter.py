"""Stage 4, enter: one wave an occurrence, its people frozen in the same transaction, so that repeating is harmless."""

from __future__ import annotations

from typing import assert_never

import sqlalchemy as sa

from carillon.definition.entries import At, ByApi, Every, OnEvent
from carillon.journey.everybody import everybody
from carillon.journey.ground import Ground
from carillon.journey.occasions import Scheduled, occasions
from carillon.journey.ripen import enter_ripe
from carillon.journey.signalled import enter_signalled
from carillon.journey.take_in import KEPT_OUT, LATE, Entered, Wave, is_taken, take_in
from carillon.store import tables as t


def enter(ground: Ground) -> list[Entered]:
    """Take in everybody whose occasion has come: scheduled waves, and the signals since the last look."""
    if ground.applied.wanted_state != "live":
        return []
    entered: list[Entered] = []
    for entry in ground.applied.plan.entries:
        match entry:
            case At() | Every():
                entered += _enter_scheduled(ground, entry)
            case OnEvent(idle=idle) if idle is not None:
                entered += enter_ripe(ground, entry)
            case OnEvent() | ByApi():
                entered += enter_signalled(ground, entry)
            case _:
                assert_never(entry)
    return entered


def _enter_scheduled(ground: Ground, entry: Scheduled) -> list[Entered]:
    entered = []
    for occasion in occasions(ground, entry):
        with ground.store.write("ledger") as connection:
            if is_taken(connection, ground, entry, occasion.ref):
                continue
            people = everybody(ground, occasion.instant_for(t.standing.c.zone))
            late_before = ground.now - occasion.if_late
            if occasion.at < late_before:
                p = people.subquery("matching")
                people = sa.select(p, sa.case((p.c.arrived_at < late_before, LATE)).label(KEPT_OUT))
            entered.append(take_in(connection, ground, Wave(entry, occasion.ref, occasion.at), people))
    return entered

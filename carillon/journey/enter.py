"""Stage 4, enter: one wave an occurrence, its people frozen in the same transaction, so that repeating is harmless."""

from __future__ import annotations

from typing import assert_never

from carillon.definition.entries import At, ByApi, Cron, Every, OnDate, OnEvent, OnSegment, Rrule
from carillon.journey.ground import Ground
from carillon.journey.members import enter_members
from carillon.journey.ripen import enter_ripe
from carillon.journey.scheduled import enter_scheduled
from carillon.journey.signalled import enter_signalled
from carillon.journey.take_in import Entered


def enter(ground: Ground) -> list[Entered]:
    """Take in everybody whose occasion has come: scheduled waves, and the signals since the last look."""
    if ground.applied.wanted_state != "live":
        return []
    entered: list[Entered] = []
    for entry in ground.applied.plan.entries:
        match entry:
            case At() | Every() | Cron() | Rrule() | OnDate():
                entered += enter_scheduled(ground, entry)
            case OnEvent() if entry.ripens_in is not None:
                entered += enter_ripe(ground, entry)
            case OnSegment():
                entered += enter_members(ground, entry)
            case OnEvent() | ByApi():
                entered += enter_signalled(ground, entry)
            case _:
                assert_never(entry)
    return entered

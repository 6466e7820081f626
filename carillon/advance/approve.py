"""A person's yes, given: to what a campaign means, to the waves that wait for theirs, and to what a brake had stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.advance.brakes import doubts
from carillon.journey.approval import ALL
from carillon.journey.awaited import Awaited, awaited
from carillon.journey.ground import Ground, load_ground
from carillon.kernel.clock import Micros
from carillon.plan.operate import write_audit
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.writing import put_row


class NotAsked(Exception):
    """Somebody said yes whose yes is not the one that is wanted."""


@dataclass(frozen=True, slots=True)
class Approved:
    """What a yes covers, and what had held the campaign."""

    campaign: str
    meaning: str
    waves: tuple[str, ...]
    """The waves that it was said to; the empty name is all of the meaning. None: nothing waited for a yes."""
    held: str | None

    @property
    def sentence(self) -> str:
        """What was said yes to."""
        waves = [wave.replace(":", " ", 1) for wave in self.waves if wave != ALL]
        of_all = ["as it is applied now"] if ALL in self.waves or (self.held and not waves) else []
        said = [*of_all, *(f"the wave {wave}" for wave in waves)]
        return f"approved {' and '.join(said)}" if said else "nothing waits for a yes"


def approve(store: Store, name: str, *, who: str, why: str = "", at: Micros) -> Approved:
    """Say yes to all that waits for one in this campaign; raises LookupError: never applied, NotAsked: not by this person.

    Where nothing waits yet the yes is for what comes next. A yes to a meaning is no yes to the next; a brake's is of the
    wave that it stopped.
    """
    ground = load_ground(store, name, at)
    applied = ground.applied
    with store.read() as connection:
        wanted = [(one.meaning, one.wave) for one in _wanted(connection, ground)]
        if applied.hold_reason is not None:
            wanted += [(applied.meaning, doubt.wave) for doubt in doubts(connection, ground)]
    asked = {address.lower() for plan in applied.versions.values() for address in plan.approval_by}
    if asked and who.lower() not in asked:
        raise NotAsked(f"{name} wants the yes of {' or '.join(sorted(asked))}: {who} is not asked")
    # The yes first: a crash between the two leaves a campaign that is held and may be approved again.
    with store.write("ledger") as connection:
        for meaning, wave in wanted:
            _write(connection, applied.id, meaning, wave, who, at, asked)
    with store.write("core") as connection:
        connection.execute(t.campaign.update().where(t.campaign.c.id == applied.id).values(hold_reason=None))
        write_audit(connection, at, who, "approve", name, why or applied.hold_reason or "")
    return Approved(name, applied.meaning, tuple(dict.fromkeys(wave for _, wave in wanted)), applied.hold_reason)


def _wanted(connection: Connection, ground: Ground) -> Sequence[Awaited]:
    """What people wait for; where nobody does, what comes next."""
    found = awaited(connection, ground)
    now = [one for one in found if one.wave == ALL or one.people]
    return now or found


def _write(
    connection: Connection, campaign_id: int, meaning: str, wave: str, who: str, at: Micros, asked: set[str]
) -> None:
    """The first yes stands, unless it was of somebody who is not asked any more."""
    key = {"campaign_id": campaign_id, "meaning": meaning, "wave": wave}
    is_old = sa.func.lower(t.approval.c.by).not_in(sorted(asked)) if asked else sa.false()
    put_row(connection, t.approval, key, {"by": who, "at": at}, only_over=is_old)

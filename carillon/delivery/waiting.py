"""Who waits for a hand-over that is due, and why: a campaign is not done while somebody does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.pace import PACED, RESTING
from carillon.kernel.clock import Micros
from carillon.kernel.counting import people, verb
from carillon.store.tables import batch

MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """People of one campaign whose message is due and has not left."""

    people: int
    reasons: Mapping[str, int]
    """What was said when they were deferred, the commonest first → people; it may name addresses."""

    @property
    def sentence(self) -> str:
        """For a screen that everybody may see: numbers only."""
        return f"{people(self.people)} still {verb(self.people, 'wait')} for theirs"


def waiting(connection: Connection, campaign_id: int, now: Micros) -> Waiting:
    """Who of this campaign waits now."""
    due = sa.and_(batch.c.campaign_id == campaign_id, batch.c.state.in_(("ready", "claimed")), batch.c.due_at <= now)
    people = sa.func.sum(batch.c.n).label("people")
    groups = sa.select(batch.c.connector, batch.c.note, people).where(due, batch.c.n > 0)
    rows = connection.execute(groups.group_by(batch.c.connector, batch.c.note)).all()
    reasons = Counter[str]()
    for connector, note, n in rows:
        if why := note or _held_back(connector, rows):
            reasons[why] += int(n)
    return Waiting(sum(int(row.people) for row in rows), dict(reasons.most_common(MOST_REASONS)))


def _held_back(connector: str, rows: Sequence[sa.Row[tuple[str, str, int]]]) -> str | None:
    """Why nobody of the connector goes: it is written at the first of them only."""
    return next((row.note for row in rows if row.connector == connector and row.note in (PACED, RESTING)), None)

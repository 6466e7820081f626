"""Who waits for a hand-over that is due, and why: a campaign is not done while somebody does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
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
        return f"{self.people:,} people still wait for theirs"


def waiting(connection: Connection, campaign_id: int, now: Micros) -> Waiting:
    """Who of this campaign waits now."""
    due = sa.and_(batch.c.campaign_id == campaign_id, batch.c.state.in_(("ready", "claimed")), batch.c.due_at <= now)
    people = sa.func.sum(batch.c.n).label("people")
    rows = connection.execute(
        sa.select(batch.c.note, people).where(due, batch.c.n > 0).group_by(batch.c.note).order_by(people.desc())
    ).all()
    reasons = {note: int(n) for note, n in rows if note}
    return Waiting(sum(int(n) for _, n in rows), dict(list(reasons.items())[:MOST_REASONS]))

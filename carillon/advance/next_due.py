"""When a campaign wants to be advanced again."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.advance.judge import next_look
from carillon.advance.lead import next_decision
from carillon.definition.model import At, Every
from carillon.journey.ground import Ground
from carillon.journey.occasions import next_occasion
from carillon.kernel.clock import Micros
from carillon.store import tables as t


def next_due(ground: Ground) -> Micros | None:
    """The first instant after now at which somebody is due, an entry comes or a leader is chosen; None = only events."""
    e = t.enrolment.c
    with ground.store.read() as connection:
        person = connection.scalar(
            sa.select(sa.func.min(e.due_at)).where(
                e.campaign_id == ground.applied.id, e.state == "live", e.due_at > ground.now
            )
        )
    entries = (e for e in ground.applied.plan.entries if isinstance(e, At | Every))
    instants = [person, next_decision(ground), next_look(ground), *(next_occasion(ground, entry) for entry in entries)]
    return min((i for i in instants if i is not None), default=None)

"""The brake that nobody has to ask for: a wave of more than twice the planned audience stops and asks a person."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import At, Every
from carillon.journey.enter import entry_key
from carillon.journey.ground import Ground
from carillon.kernel.clock import SECOND
from carillon.store import tables as t


def hold_if_twice_the_plan(ground: Ground) -> bool:
    """Hold the campaign where a scheduled wave took in more than twice what was planned and nobody approved it."""
    planned = ground.applied.planned_audience
    if planned is None:
        return False
    w, a = t.wave.c, t.approval.c
    scheduled = {entry_key(e): e.if_late for e in ground.applied.plan.entries if isinstance(e, At | Every)}
    if not scheduled:
        return False
    # A wave's snapshot may lie before the apply that it runs under, by as much as it may be late.
    earliest = ground.applied.applied_at - max(s.seconds for s in scheduled.values()) * SECOND
    approved = sa.exists().where(a.campaign_id == ground.applied.id, a.meaning == ground.applied.meaning)
    large = sa.select(w.id, w.n).where(
        w.campaign_id == ground.applied.id, w.entry.in_(list(scheduled)), w.n > 2 * planned, w.snapshot_at >= earliest,
        sa.not_(approved),
    )  # fmt: skip
    with ground.store.read() as connection:
        largest = max(
            (n for wave_id, n in connection.execute(large) if _is_fresh(connection, ground, wave_id)), default=0
        )
    if not largest:
        return False
    reason = f"{largest:,} people entered, {planned:,} were planned"
    with ground.store.write("core") as connection:
        connection.execute(t.campaign.update().where(t.campaign.c.id == ground.applied.id).values(hold_reason=reason))
    return True


def _is_fresh(connection: Connection, ground: Ground, wave_id: int) -> bool:
    """Whether the wave came in on the live version and nobody of it was decided: planning anew stops none that passed."""
    e, s = t.enrolment.c, t.send.c
    mine = sa.and_(e.campaign_id == ground.applied.id, e.wave_id == wave_id)
    version = connection.scalar(sa.select(e.version_id).where(mine).limit(1))
    nodes = list(ground.applied.nodes.values())
    decided = (
        sa.select(s.node_id).join_from(t.enrolment, t.send, s.enrolment_id == e.id).where(mine, s.node_id.in_(nodes))
    )
    return version == ground.applied.live_version and connection.execute(decided.limit(1)).first() is None

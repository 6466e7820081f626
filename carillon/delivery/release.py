"""Release and withdraw: what becomes of batches that must not go out as they are, before anything of them has begun."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.parting import give_back, make_due_again, open_people, unleased
from carillon.kernel.clock import Micros
from carillon.store.tables import batch


def release(connection: Connection, batch_ids: Sequence[int], *, note: str) -> int:
    """Forget these ready batches: their people are due again, and the next reserve decides anew. How many they are."""
    won = connection.execute(
        sa.update(batch)
        .where(batch.c.id.in_(batch_ids), batch.c.state == "ready")
        .values(unleased() | {"state": "withdrawn", "note": note})
        .returning(batch.c.id)
    ).scalars()
    return sum(make_due_again(connection, batch_id, sa.true()) for batch_id in list(won))


def release_late(connection: Connection, now: Micros, campaign_id: int | None = None) -> int:
    """Release the ready batches whose `not_after` has passed; how many people are due again."""
    mine = [] if campaign_id is None else [batch.c.campaign_id == campaign_id]
    late = connection.execute(sa.select(batch.c.id).where(batch.c.state == "ready", batch.c.not_after <= now, *mine))
    return release(connection, list(late.scalars()), note="too late to be handed over")


def release_campaign(connection: Connection, campaign_id: int, *, note: str) -> int:
    """Release all ready batches of a campaign that pauses; how many people are due again."""
    ready = connection.execute(
        sa.select(batch.c.id).where(batch.c.state == "ready", batch.c.campaign_id == campaign_id)
    )
    return release(connection, list(ready.scalars()), note=note)


def withdraw(connection: Connection, campaign_id: int, *, at: Micros) -> int:
    """Stop: the ready batches of this campaign never go out; how many people that concerns."""
    won = connection.execute(
        sa.update(batch)
        .where(batch.c.campaign_id == campaign_id, batch.c.state == "ready")
        .values(unleased() | {"state": "withdrawn", "note": "stopped", "settled_at": at})
        .returning(batch.c.id)
    ).scalars()
    counts = {
        batch_id: connection.execute(sa.select(sa.func.count()).where(open_people(batch_id))).scalar_one()
        for batch_id in list(won)
    }
    for batch_id, people in counts.items():
        give_back(connection, batch_id, people)
    return sum(counts.values())

"""Release and withdraw: what becomes of batches that must not go out as they are, before anything of them has begun.

Who was handed over before, and may have the message already, is never forgotten as if nothing had left: such a batch is
unsure again.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.parting import give_back, make_due_again, open_people, unleased
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros
from carillon.store.tables import batch, enrolment, send

STOPPED_AGAIN = "stopped before it was sent again"


def release(connection: Connection, batch_ids: Sequence[int], *, note: str) -> int:
    """Forget these ready batches: their people are due again, and the next reserve decides anew. How many they are."""
    chosen = batch.c.id.in_(batch_ids)
    again = doubt_again(connection, chosen, note=note)
    won = connection.execute(
        sa.update(batch)
        .where(chosen, batch.c.state == "ready", batch.c.resend_at.is_(None))
        .values(unleased() | {"state": "withdrawn", "note": note})
        .returning(batch.c.id)
    ).scalars()
    return again + sum(make_due_again(connection, batch_id, sa.true()) for batch_id in list(won))


def doubt_again(connection: Connection, chosen: sa.ColumnElement[bool], *, note: str) -> int:
    """Ready batches that were wanted once more are unsure as before, and still wanted: the next reserve asks them anew."""
    return _people(
        connection,
        sa.update(batch)
        .where(chosen, batch.c.state == "ready", batch.c.resend_at.is_not(None))
        .values(unleased() | {"state": "unsure", "note": note, "ask_at": None}),
    )


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


def release_without_yes(connection: Connection, ground: Ground) -> int:
    """Release the ready batches of people whose campaign wants a yes that does not stand; how many are due again."""
    e = enrolment.c
    waiting = sa.or_(
        sa.false(),
        *(sa.and_(e.version_id == version_id, sa.not_(gate)) for version_id, gate in ground.gates.items()),
    )
    has_none = sa.exists(
        sa.select(send.c.enrolment_id)
        .join_from(send, enrolment, e.id == send.c.enrolment_id)
        .where(send.c.batch_id == batch.c.id, send.c.outcome.is_(None), waiting)
    )
    if not ground.gates:
        return 0
    mine = sa.and_(batch.c.campaign_id == ground.applied.id, batch.c.state == "ready")
    found = connection.execute(sa.select(batch.c.id).where(mine, has_none)).scalars()
    return release(connection, list(found), note="waits for a yes")


def withdraw(connection: Connection, campaign_id: int, *, at: Micros) -> int:
    """Stop: the ready batches of this campaign never go out; how many people that concerns."""
    mine = batch.c.campaign_id == campaign_id
    wanted = sa.and_(mine, batch.c.resend_at.is_not(None), batch.c.state.in_(("ready", "unsure")))
    closed = {"state": "closed", "note": STOPPED_AGAIN, "settled_at": at, "worker": None, "lease_until": None}
    again = _people(connection, sa.update(batch).where(wanted).values(**closed))
    won = connection.execute(
        sa.update(batch)
        .where(mine, batch.c.state == "ready")
        .values(unleased() | {"state": "withdrawn", "note": "stopped", "settled_at": at})
        .returning(batch.c.id)
    ).scalars()
    counts = {
        batch_id: connection.execute(sa.select(sa.func.count()).where(open_people(batch_id))).scalar_one()
        for batch_id in list(won)
    }
    for batch_id, people in counts.items():
        give_back(connection, batch_id, people)
    return again + sum(counts.values())


def _people(connection: Connection, update: sa.Update) -> int:
    """Carry it out; how many people share the fate of the batches that it won."""
    won = list(connection.execute(update.returning(batch.c.id)).scalars())
    mine = sa.select(sa.func.count()).where(send.c.batch_id.in_(won), send.c.outcome.is_(None))
    return connection.execute(mine).scalar_one() if won else 0

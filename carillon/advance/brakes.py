"""Brakes that nobody has to ask for: a wave of more than twice the planned audience, or outside `expect`, asks a person.

The yes is of that wave alone: what a campaign means was approved by people who had not seen this number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Broadcast, entry_key
from carillon.journey.approval import wave_key
from carillon.journey.ground import Ground
from carillon.kernel.clock import SECOND
from carillon.store import tables as t


@dataclass(frozen=True, slots=True)
class Doubt:
    """A wave that wants a person's yes before anybody of it is written to."""

    wave: str
    reason: str


def hold_doubtful(ground: Ground) -> bool:
    """Hold the campaign where a scheduled wave is not what was planned or expected and nobody said yes to it."""
    with ground.store.read() as connection:
        found = list(doubts(connection, ground))
    if not found:
        return False
    reason = "; ".join(one.reason for one in found)
    with ground.store.write("core") as connection:
        connection.execute(t.campaign.update().where(t.campaign.c.id == ground.applied.id).values(hold_reason=reason))
    return True


def doubts(connection: Connection, ground: Ground) -> Iterator[Doubt]:
    """The waves that came in on the live version, of whom nobody was decided, and whose number nobody approved."""
    applied, w = ground.applied, t.wave.c
    scheduled = {entry_key(e): e.if_late for e in applied.plan.entries if isinstance(e, Broadcast)}
    outside = _outside(connection, ground)
    if not scheduled or outside is None:
        return
    # A wave's snapshot may lie before the apply that it runs under, by as much as it may be late.
    earliest = applied.applied_at - max(span.seconds for span in scheduled.values()) * SECOND
    waves = connection.execute(
        sa.select(w.id, w.n, w.entry, w.ref)
        .where(w.campaign_id == applied.id, w.entry.in_(list(scheduled)), w.snapshot_at >= earliest, outside)
        .where(sa.not_(_approved(applied.id)))
        .order_by(w.id)
    ).all()
    for row in waves:
        if _is_fresh(connection, ground, row.id):
            yield Doubt(wave_key(row.entry, row.ref), _reason(ground, row.n))


def _outside(connection: Connection, ground: Ground) -> sa.ColumnElement[bool] | None:
    """Which numbers of people are a question; None where no number is."""
    applied, n = ground.applied, t.wave.c.n
    questions: list[sa.ColumnElement[bool]] = []
    if (expect := applied.plan.expect) is not None:
        questions.append(sa.not_(n.between(expect.low, expect.high)))
    if applied.planned_audience is not None:
        # Who said yes to so many is not asked about them again.
        seen = sa.select(sa.func.max(n)).where(t.wave.c.campaign_id == applied.id, _approved(applied.id))
        questions.append(n > 2 * max(applied.planned_audience, connection.scalar(seen) or 0))
    return sa.or_(*questions) if questions else None


def _approved(campaign_id: int) -> sa.ColumnElement[bool]:
    a, w = t.approval.c, t.wave.c
    return sa.exists().where(a.campaign_id == campaign_id, a.wave == w.entry + ":" + w.ref)


def _reason(ground: Ground, n: int) -> str:
    expect = ground.applied.plan.expect
    if expect is not None and not expect.fits(n):
        return f"{n:,} people entered, {expect} were expected"
    return f"{n:,} people entered, {ground.applied.planned_audience:,} were planned"


def _is_fresh(connection: Connection, ground: Ground, wave_id: int) -> bool:
    """Whether the wave came in on the live version and nobody of it was decided: planning anew stops none that passed."""
    e, s = t.enrolment.c, t.send.c
    mine = sa.and_(e.campaign_id == ground.applied.id, e.wave_id == wave_id)
    version = connection.scalar(sa.select(e.version_id).where(mine).limit(1))
    nodes = list(ground.applied.nodes.values())
    decided = (
        sa.select(s.node_id).join_from(t.enrolment, t.send, s.enrolment_id == e.id).where(mine, s.node_id.in_(nodes))
    )
    is_live = version in (None, ground.applied.live_version)  # a wave of nobody is on no version
    return is_live and connection.execute(decided.limit(1)).first() is None

"""Brakes that nobody has to ask for: a wave of more than twice the planned audience, or outside `expect`, asks a person.

Entries by a segment or a date come in small waves of whom something has moved. There a wave asks that is more than twice
what was planned and the most that any before it was: an import that gave everybody the same birthday mails nobody.

The yes is of that wave alone: what a campaign means was approved by people who had not seen this number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Broadcast, OnDate, OnSegment, entry_key
from carillon.journey.approval import wave_key
from carillon.journey.ground import Ground
from carillon.kernel.clock import SECOND
from carillon.kernel.counting import people
from carillon.store import tables as t

UNASKED = 500
"""Twice so many people who come by a segment or a date are no question, whatever came before: a small shop's good day."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A wave that wants a person's yes before anybody of it is written to."""

    wave: str
    reason: str


def hold_doubtful(ground: Ground) -> bool:
    """Hold the campaign where a wave is not what was planned or expected and nobody said yes to it."""
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
    outside = list(_outside(connection, ground))
    if not outside:
        return
    # A wave's snapshot may lie before the apply that it runs under, by as much as it may be late.
    late = [e.if_late.seconds for e in applied.plan.entries if isinstance(e, Broadcast)]
    waves = connection.execute(
        sa.select(w.id, w.n, w.entry, w.ref, _most_before().label("before"))
        .where(w.campaign_id == applied.id, w.snapshot_at >= applied.applied_at - max(late, default=0) * SECOND)
        .where(sa.or_(*outside), sa.not_(_approved(applied.id)))
        .order_by(w.id)
    ).all()
    broadcasts = _keys(ground, Broadcast)
    for row in waves:
        if _is_fresh(connection, ground, row.id):
            before = None if row.entry in broadcasts else row.before or 0
            yield Doubt(wave_key(row.entry, row.ref), _reason(ground, row.n, before))


def _outside(connection: Connection, ground: Ground) -> Iterator[sa.ColumnElement[bool]]:
    """Which waves are a question for how many they took in."""
    applied, expect, w = ground.applied, ground.applied.plan.expect, t.wave.c
    planned = applied.planned_audience
    if broadcasts := _keys(ground, Broadcast):
        is_broadcast = w.entry.in_(broadcasts)
        if expect is not None:
            yield sa.and_(is_broadcast, sa.not_(w.n.between(expect.low, expect.high)))
        if planned is not None:
            # Who said yes to so many is not asked about them again.
            seen = sa.select(sa.func.max(w.n)).where(w.campaign_id == applied.id, _approved(applied.id))
            yield sa.and_(is_broadcast, w.n > 2 * max(planned, connection.scalar(seen) or 0))
    if moved := _keys(ground, OnSegment | OnDate):
        usual = 2 * max(planned or 0, UNASKED)
        yield sa.and_(w.entry.in_(moved), w.n > usual, w.n > 2 * sa.func.coalesce(_most_before(), 0))


def _keys(ground: Ground, kinds: Any) -> list[str]:
    return [entry_key(entry) for entry in ground.applied.plan.entries if isinstance(entry, kinds)]


def _most_before() -> sa.ScalarSelect[int]:
    """The most that an earlier wave of the same entry took in."""
    w, earlier = t.wave.c, t.wave.alias("earlier")
    same = sa.and_(earlier.c.campaign_id == w.campaign_id, earlier.c.entry == w.entry, earlier.c.id < w.id)
    return sa.select(sa.func.max(earlier.c.n)).where(same).correlate(t.wave).scalar_subquery()


def _approved(campaign_id: int) -> sa.ColumnElement[bool]:
    a, w = t.approval.c, t.wave.c
    return sa.exists().where(a.campaign_id == campaign_id, a.wave == w.entry + ":" + w.ref)


def _reason(ground: Ground, n: int, before: int | None) -> str:
    """`before`: the most of an earlier wave, of an entry that nobody can plan."""
    expect = ground.applied.plan.expect
    if before is not None:
        return f"{people(n)} entered at once, the most before was {before:,}"
    if expect is not None and not expect.fits(n):
        return f"{people(n)} entered, {expect} were expected"
    return f"{people(n)} entered, {ground.applied.planned_audience:,} were planned"


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

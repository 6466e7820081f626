"""Which yes of a person is awaited, and for whom it came: they are due from it, not from before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Recurring, entry_key
from carillon.journey.approval import ALL, has_yes_to_all, has_yes_to_wave, repeating, said_to, wave_key
from carillon.journey.ground import Ground
from carillon.journey.occasions import next_occasion_of
from carillon.kernel.clock import Micros
from carillon.kernel.counting import people, verb
from carillon.store import tables as t
from carillon.store.engine import rowcount


@dataclass(frozen=True, slots=True)
class Awaited:
    """A yes that nobody has given yet."""

    meaning: str
    wave: str
    """`every:2026-12-07`; empty: all of the meaning."""
    by: tuple[str, ...]
    people: int
    """Who stand in the campaign and wait for it."""

    @property
    def sentence(self) -> str:
        """What is wanted from whom."""
        of = f"to {self.wave.replace(':', ' ', 1)} " if self.wave else ""
        waiting = f"; {people(self.people)} {verb(self.people, 'wait')} for it" if self.people else ""
        return f"awaits the yes {of}of {' or '.join(self.by)}{waiting}"


def awaited(connection: Connection, ground: Ground) -> list[Awaited]:
    """What a person is to say yes to: what people wait for now, and ahead of time what comes next."""
    return [one for version_id in ground.gates for one in _of_version(connection, ground, version_id)]


def _of_version(connection: Connection, ground: Ground, version_id: int) -> Iterator[Awaited]:
    applied = ground.applied
    plan, meaning, is_live = (
        applied.versions[version_id],
        applied.meanings[version_id],
        version_id == applied.live_version,
    )
    each = repeating(plan)
    waiting = _waiting(connection, ground, version_id)
    people = sum(n for (entry, _), n in waiting.items() if entry not in each)
    has_others = any(entry_key(entry) not in each for entry in plan.entries)
    if (people or (is_live and has_others)) and not has_yes_to_all(connection, applied, version_id):
        yield Awaited(meaning, ALL, plan.approval_by, people)
    waves = {wave_key(entry, ref): n for (entry, ref), n in waiting.items() if entry in each}
    if is_live and applied.wanted_state == "live":
        for entry in plan.entries:
            if isinstance(entry, Recurring) and (ahead := next_occasion_of(ground, entry)) is not None:
                waves.setdefault(wave_key(entry_key(entry), ahead.ref), 0)
    for key, n in sorted(waves.items()):
        if not has_yes_to_wave(connection, applied, version_id, key):
            yield Awaited(meaning, key, plan.approval_by, n)


def _waiting(connection: Connection, ground: Ground, version_id: int) -> dict[tuple[str, str], int]:
    """(entry, ref) of each wave → its people who wait for a yes."""
    e, w = t.enrolment.c, t.wave.c
    rows = connection.execute(
        sa.select(w.entry, w.ref, sa.func.count())
        .join_from(t.enrolment, t.wave, w.id == e.wave_id)
        .where(e.campaign_id == ground.applied.id, e.version_id == version_id, e.state == "live")
        .where(sa.not_(ground.gate(version_id)))
        .group_by(w.entry, w.ref)
    )
    return {(entry, ref): n for entry, ref, n in rows}


def count_from_yes(ground: Ground) -> int:
    """Who stood at a message before the yes is due, and has arrived, when it was said: no wait for it was lateness."""
    a = t.approval.c
    with ground.store.read() as connection:
        newest = connection.scalar(sa.select(sa.func.max(a.at)).where(a.campaign_id == ground.applied.id))
    if newest is None:
        return 0
    moved = 0
    for version_id in ground.applied.versions:
        with ground.store.write("ledger") as connection:
            said_at = _said_at(ground, version_id)
            late = t.enrolment.update().where(_undecided(ground, version_id, newest), t.enrolment.c.due_at < said_at)
            moved += rowcount(connection.execute(late.values(due_at=said_at, arrived_at=said_at)))
    return moved


def _undecided(ground: Ground, version_id: int, before: Micros) -> sa.ColumnElement[bool]:
    e, s = t.enrolment.c, t.send.c
    messages = [ground.applied.nodes[node.id] for node in ground.applied.versions[version_id].messages]
    decided = sa.exists().where(s.node_id == e.node_id, s.enrolment_id == e.id)
    return sa.and_(
        e.campaign_id == ground.applied.id, e.version_id == version_id, e.state == "live", e.node_id.in_(messages),
        e.due_at < before, sa.not_(decided), ground.gate(version_id),
    )  # fmt: skip


def _said_at(ground: Ground, version_id: int) -> sa.ColumnElement[Micros | None]:
    """When the yes to an enrolment was said: to its wave, or to all of its version."""
    a, wave, e, applied = t.approval.c, t.wave.alias("its_wave"), t.enrolment.c, ground.applied
    to_wave = sa.and_(a.campaign_id == applied.id, a.wave == wave.c.entry + ":" + wave.c.ref)
    of_wave = sa.select(sa.func.max(a.at)).select_from(t.approval.join(wave, to_wave)).where(wave.c.id == e.wave_id)
    own = of_wave.correlate(t.enrolment).scalar_subquery()
    if version_id not in ground.gates:
        return own
    to_all = said_to(applied, version_id).where(a.wave == ALL).with_only_columns(sa.func.max(a.at)).scalar_subquery()
    return sa.case((sa.or_(to_all.is_(None), own > to_all), own), else_=to_all)

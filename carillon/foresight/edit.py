"""What an edit changes for people under way: who goes on in the new version, when, and with which messages. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.foresight.hypothetical import known_as
from carillon.journey.ground import Ground
from carillon.journey.latest import movers_at, standing_at
from carillon.kernel.clock import Micros
from carillon.plan.ahead import ahead
from carillon.plan.model import MessageNode, Plan, PlanNode
from carillon.plan.renames import with_steps_renamed
from carillon.store import tables as t


@dataclass(frozen=True, slots=True)
class StepUnderWay:
    """The people who stand at one step on one older version."""

    step_id: str
    version: int
    people: int
    moving: int
    """Of them: who goes on in the new version; the others finish on theirs."""
    is_gone: bool
    """Whether the new version has no such step."""
    before: tuple[Micros | None, Micros | None]
    """Of those who move: when the first and the last are due now, and after the apply."""
    after: tuple[Micros | None, Micros | None]
    added: Mapping[str, int]
    """Message step → people who would come to it, and would not have."""
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Edit:
    """The blast radius of an edited campaign."""

    steps: tuple[StepUnderWay, ...]
    renamed: tuple[tuple[str, str, int], ...]
    """(vanished step, new step that looks like it, people who got the one and would get the other)."""

    @property
    def people(self) -> int:
        return sum(step.people for step in self.steps)


def edit_of(connection: Connection, ground: Ground) -> Edit | None:
    """What the plan of this ground changes; None where nobody is under way or it means what is live already."""
    plan = ground.applied.plan
    known = known_as(connection, plan)
    if known is None or known.meaning == ground.applied.meaning:
        return None
    renames = {was: step_id for step_id, was in plan.step_was if was in known.nodes and step_id not in known.nodes}
    older = {
        version_id: with_steps_renamed(old, renames) if renames else old
        for version_id, old in known.versions.items()
        if known.meanings[version_id] != ground.applied.meaning
    }
    steps = [s for v, old in older.items() for node in old.nodes for s in _step(connection, ground, v, old, node)]
    live = older.get(known.live_version)
    renamed = tuple(_renamed(connection, ground, live)) if live is not None else ()
    return Edit(tuple(steps), renamed) if steps or renamed else None


def _step(connection: Connection, ground: Ground, version_id: int, old: Plan, node: PlanNode) -> Iterator[StepUnderWay]:
    people = connection.scalar(sa.select(sa.func.count()).where(standing_at(ground, version_id, node.id))) or 0
    if not people:
        return
    plan = ground.applied.plan
    is_gone = all(n.id != node.id for n in plan.nodes)
    movers = movers_at(ground, version_id, old, node) if plan.moves_to_latest else None
    if movers is None:
        yield StepUnderWay(node.id, version_id, people, 0, is_gone, (None, None), (None, None), {}, {})
        return
    m = movers.subquery("movers")
    lo, hi = sa.func.min, sa.func.max
    n, *due = connection.execute(
        sa.select(sa.func.count(), lo(m.c.due_before), hi(m.c.due_before), lo(m.c.due_at), hi(m.c.due_at))
    ).one()
    was, will = _messages(old, node.id), _messages(plan, node.id)
    added = {s: _without(connection, ground, m, s) for s in will if s not in was}
    dropped = {s: _without(connection, ground, m, s) for s in was if s not in will}
    yield StepUnderWay(
        node.id, version_id, people, n, is_gone, (due[0], due[1]), (due[2], due[3]),
        {s: k for s, k in added.items() if k}, {s: k for s, k in dropped.items() if k},
    )  # fmt: skip


def _messages(plan: Plan, step_id: str) -> list[str]:
    return [node.id for node in ahead(plan, step_id) if isinstance(node, MessageNode)]


def _without(connection: Connection, ground: Ground, movers: sa.Subquery, step_id: str) -> int:
    """How many of them have no send of a step: who has one never gets another."""
    s = t.send.c
    had = sa.exists().where(s.node_id == ground.applied.nodes[step_id], s.enrolment_id == movers.c.enrolment_id)
    return connection.scalar(sa.select(sa.func.count()).select_from(movers).where(sa.not_(had))) or 0


def _renamed(connection: Connection, ground: Ground, live: Plan) -> Iterator[tuple[str, str, int]]:
    """Message steps that vanished beside new ones that send the same, in the order in which they stand."""
    plan = ground.applied.plan
    new = [n for n in plan.messages if all(n.id != old.id for old in live.nodes)]
    for old in live.messages:
        if any(old.id == n.id for n in plan.nodes):
            continue
        like = next((n for n in new if (n.channel, n.message) == (old.channel, old.message)), None)
        if like is not None:
            new.remove(like)
            s = t.send.c
            got = sa.select(sa.func.count(sa.distinct(s.contact_id))).where(
                s.node_id == ground.applied.nodes[old.id], s.outcome.is_(None)
            )
            yield old.id, like.id, connection.scalar(got) or 0

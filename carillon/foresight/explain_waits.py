"""The waits of a way that ended: when each began, when it ended, and why.

Nobody keeps a row for a wait, of which a million may stand. The way is walked again along the plans that the enrolment was
on: a wait began where the step before it ended, and how it ended is told by what is written down of the step behind it.
Only where nothing tells the end is reckoned, as the run did, on the clock that the contact has now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.select import depends_on
from carillon.audience.words import say
from carillon.definition.conditions import Condition
from carillon.definition.entries import Every, OnDate, OnEvent, Scheduled, entry_key
from carillon.definition.model import WaitUntil, WaitUntilDate, WaitUntilDay
from carillon.foresight.explain_moves import Moved, is_whole
from carillon.journey.ground import Ground
from carillon.journey.leave import GHOST, over_at
from carillon.journey.move import OTHERWISE
from carillon.journey.moving import DATE_PAST, NO_DATE
from carillon.journey.stand import Arriving, end_of_wait
from carillon.journey.wait_for import AFTER
from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.time.calendar import local_to_utc
from carillon.plan.ahead import ahead
from carillon.plan.compile import plan_from_json
from carillon.plan.model import (
    ActNode,
    ChooseNode,
    ExitNode,
    MessageNode,
    Plan,
    PlanNode,
    SplitNode,
    WaitForNode,
    WaitNode,
)
from carillon.store import tables as t

WAITED, TIME, LEFT = "waited", "its time came", "left: {}"
_NO_DAY = {DATE_PAST: "its day was past on arrival", NO_DATE: "they have no such date"}


@dataclass(frozen=True, slots=True)
class Waited:
    """One wait that is over."""

    step: str
    began_at: Micros
    ended_at: Micros
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class _Stop:
    """What is known of a step that was passed: by which branch, and when it was left."""

    branch: str
    at: Micros
    due_at: Micros | None = None
    """Of a message: when it was due."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Where a step led; `waited` where it was a wait."""

    next: str | None
    at: Micros
    waited: Waited | None = None


def waits_of(connection: Connection, ground: Ground, way: sa.Row[Any], moves: Sequence[Moved]) -> Iterator[Waited]:
    """The waits of an enrolment (with its step's id and its entry) that ended, in their order.

    Of a way that was moved before moves were written down nothing is told.
    """
    if is_whole(connection, way.id):
        yield from _Walk(connection, ground, way, moves).waits()


class _Walk:
    """The way once more, step by step."""

    def __init__(self, connection: Connection, ground: Ground, way: sa.Row[Any], moves: Sequence[Moved]) -> None:
        self._connection, self._ground, self._way, self._moves = connection, ground, way, moves
        self._passed = dict(_passed(connection, way.id))
        self._clock: tuple[str, int] = connection.execute(_clock_of(way.contact_id)).tuples().one()

    def waits(self) -> Iterator[Waited]:
        versions = [*(move.from_version for move in self._moves), self._way.version_id]
        plans = self._plans(versions)
        step, at, due = plans[versions[0]].first, self._began(plans[versions[0]]), None
        for version, move in zip(versions, [*self._moves, None], strict=True):
            plan = plans[version]
            while step is not None and (move is None or step != move.step):
                went = self._go(plan, plan.node(step), at, due)
                if went is None:
                    return
                if went.waited is not None:
                    yield went.waited
                step, at, due = went.next, went.at, None
            due = None if move is None else move.due_at

    def _plans(self, versions: Sequence[int]) -> Mapping[int, Plan]:
        v = t.version.c
        rows = self._connection.execute(sa.select(v.id, v.plan_json).where(v.id.in_(versions))).tuples()
        return {version: plan_from_json(text) for version, text in rows}

    def _began(self, plan: Plan) -> Micros:
        """When the first step was reached: for some entries not when the wave was taken in."""
        way = self._way
        if plan.first == way.step_id:
            return int(way.arrived_at)
        entry = next((e for e in plan.entries if entry_key(e) == way.entry), None)
        if isinstance(entry, Scheduled) and entry.zone == "contact":
            local = datetime.fromisoformat(way.ref)
            local = datetime.combine(local, entry.at) if isinstance(entry, Every | OnDate) else local
            return local_to_utc(self._clock[0], local)
        if isinstance(entry, OnEvent) and entry.ripens_in is not None and way.trigger_at is not None:
            return min(_ripe_at(entry, way), int(way.entered_at))
        return int(way.entered_at)

    def _go(self, plan: Plan, node: PlanNode, at: Micros, due: Micros | None) -> _Step | None:
        """Where the step led whoever came to it; None where the way ends there, or has not gone on."""
        stop, way = self._passed.get(node.id), self._way
        if isinstance(node, WaitNode):
            return self._wait(plan, node, at, due)
        if isinstance(node, WaitForNode):
            return self._wait_for(node, at, stop)
        if stop is None or stop.branch == GHOST or way.step_id == node.id:
            return None
        left_at = max(at, stop.at)
        match node:
            case MessageNode() | ActNode():
                return _Step(node.next, left_at)
            case ChooseNode():
                branches = {OTHERWISE: node.otherwise} | {b.name: b.next for b in node.branches}
                return _Step(branches[stop.branch], left_at)
            case SplitNode():
                return _Step({arm.name: arm.next for arm in node.arms}[stop.branch], left_at)
            case ExitNode():
                return None
            case _:
                assert_never(node)

    def _wait(self, plan: Plan, node: WaitNode, at: Micros, due: Micros | None) -> _Step | None:
        way = self._way
        if way.step_id == node.id:
            return None if way.state == "live" else self._cut_short(node, LEFT.format(way.exit_code))
        reckoned = due if due is not None else self._reckoned(node, at)
        if self._was_past(plan, node, at, reckoned):
            return self._cut_short(node, _NO_DAY[way.exit_code])
        ended = max(at, self._ended(plan, node, at if reckoned is None else reckoned))
        return _Step(node.next, ended, Waited(node.id, at, ended, WAITED, TIME))

    def _cut_short(self, node: WaitNode | WaitForNode, why: str) -> _Step:
        way = self._way
        return _Step(None, way.ended_at, Waited(node.id, way.arrived_at, way.ended_at, WAITED, why))

    def _wait_for(self, node: WaitForNode, at: Micros, stop: _Stop | None) -> _Step | None:
        if stop is None:
            is_over = self._way.step_id == node.id and self._way.state == "done"
            return self._cut_short(node, LEFT.format(self._way.exit_code)) if is_over else None
        outcome = next((o for o in node.outcomes if o.name == stop.branch), None)
        why = TIME if outcome is None or stop.branch == AFTER else self._because(outcome.condition, stop.at)
        ended = max(at, stop.at)
        target = node.late if outcome is None else outcome.next
        return _Step(target, ended, Waited(node.id, at, ended, f"took {stop.branch}", why))

    def _because(self, condition: Condition, at: Micros) -> str:
        """The condition, and whether something that came told it or the question itself."""
        ev, needs = t.event.c, depends_on(condition)
        if needs.coupons:  # the end of a code, or anybody's order with it
            return say(condition)
        kinds: list[sa.ColumnElement[bool]] = [ev.kind.in_(sorted(needs.events))]
        if needs.feedback:
            kinds.append(sa.and_(ev.kind >= "message.", ev.kind < "message/"))
        came = sa.select(ev.kind).where(ev.contact_id == self._way.contact_id, ev.occurred_at == at, sa.or_(*kinds))
        kind = self._connection.scalar(came.limit(1))
        return f"{say(condition)}, " + ("found when asked" if kind is None else "as it happened")

    def _reckoned(self, node: WaitNode, at: Micros) -> Micros | None:
        """When the wait ends for who comes to it then; None for who has no such date."""
        zone, h31 = self._clock
        arriving = Arriving(
            at=sa.literal(at, sa.BigInteger()), zone=sa.literal(zone), h31=sa.literal(h31, sa.BigInteger()),
            wave_id=sa.literal(self._way.wave_id, sa.BigInteger()),
            contact_id=sa.literal(self._way.contact_id, sa.BigInteger()),
        )  # fmt: skip
        ends: Micros | None = self._connection.execute(sa.select(end_of_wait(node.rule, arriving))).scalar_one()
        return ends

    def _was_past(self, plan: Plan, node: WaitNode, at: Micros, reckoned: Micros | None) -> bool:
        """Whether this is the wait for a day at which they left because it was past, or they had none."""
        if self._way.exit_code not in _NO_DAY or not _may_be_past(node):
            return False
        behind = () if node.next is None else ahead(plan, node.next)
        if any(later.id in self._passed for later in behind):
            return False
        return reckoned is None or reckoned < at or not any(_may_be_past(later) for later in behind)

    def _ended(self, plan: Plan, node: WaitNode, reckoned: Micros) -> Micros:
        """As the step behind it tells; the reckoned end where that cannot be told, or lies behind what it tells."""
        way = self._way
        if node.next is None:
            return int(way.ended_at)
        behind, stop = plan.node(node.next), self._passed.get(node.next)
        if way.step_id == node.next and not (isinstance(behind, MessageNode) and plan.approval_by):
            return int(way.arrived_at)  # a yes sets an arrival at a message anew
        if stop is None:
            return reckoned
        match behind:
            case MessageNode():
                return reckoned if stop.due_at is None else min(reckoned, stop.due_at)
            case WaitForNode() | WaitNode():
                return min(reckoned, stop.at)
            case _:
                return stop.at


def _passed(connection: Connection, enrolment_id: int) -> Iterator[tuple[str, _Stop]]:
    """Step → what is written down of passing it."""
    s, b, n, p = t.send.c, t.batch.c, t.node.c, t.passage.c
    sends = connection.execute(
        sa.select(n.step_id, s.outcome, over_at(s, b), s.due_at)
        .join_from(t.send, t.node, n.id == s.node_id)
        .outerjoin(t.batch, b.id == s.batch_id)
        .where(s.enrolment_id == enrolment_id)
    ).tuples()
    yield from ((step, _Stop(outcome or "", at, due)) for step, outcome, at, due in sends)
    passages = connection.execute(
        sa.select(n.step_id, p.branch, p.at)
        .join_from(t.passage, t.node, n.id == p.node_id)
        .where(p.enrolment_id == enrolment_id)
    ).tuples()
    yield from ((step, _Stop(branch, at)) for step, branch, at in passages)


def _clock_of(contact_id: int) -> sa.Select[tuple[str, int]]:
    s = t.standing.c
    return sa.select(s.zone, s.h31).where(s.contact_id == contact_id)


def _ripe_at(entry: OnEvent, way: sa.Row[Any]) -> Micros:
    """When its thing had been quiet for long enough, or the collection was over."""
    longest = None if entry.collect is None else entry.collect.longest
    ends = [] if entry.idle is None else [way.trigger_at + entry.idle.seconds * SECOND]
    if longest is not None:
        ends.append((way.collected_from or way.trigger_at) + longest.seconds * SECOND)
    return int(min(ends))


def _may_be_past(node: PlanNode) -> bool:
    return (
        isinstance(node, WaitNode)
        and isinstance(node.rule, WaitUntil | WaitUntilDay | WaitUntilDate)
        and node.rule.if_past == "exit"
    )

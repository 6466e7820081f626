"""All questions of a campaign with their results: its tests, its splits, and the treated against the holdout."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Broadcast
from carillon.definition.model import Goal
from carillon.evaluation.collect import collect
from carillon.evaluation.evaluate import evaluate
from carillon.evaluation.exposed import HELD, TREATED, of_holdout, of_split, of_test
from carillon.evaluation.model import Metric, TestResult, Verdict
from carillon.evaluation.verdict import LookPlan
from carillon.experiment.split import even_arms
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros
from carillon.kernel.time.calendar import add_span
from carillon.plan.generations import Generation, generations_of
from carillon.plan.model import MessageNode, Plan, SplitNode, following
from carillon.store import tables as t

HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: who is compared by what, since when, and which looks were taken."""

    name: str
    step_id: str
    result: TestResult
    plan: LookPlan
    taken: int
    ended_at: Micros | None = None
    """When its words were changed and it was asked anew under another name; None: it is the one that is asked now."""


def results(connection: Connection, ground: Ground, only: Collection[str] | None = None) -> list[Asked]:
    """The result of every question of the live plan that anybody has been exposed to (or `only` those of these names)."""
    wanted = (q for q in _questions(connection, ground) if only is None or q.name in only)
    asked = [_asked(connection, ground, question) for question in wanted]
    return [a for a in asked if a is not None]


def look_plans(connection: Connection, ground: Ground) -> Iterator[tuple[str, LookPlan, int]]:
    """(question, its planned looks, how many were taken): what tells when to evaluate, without evaluating anything.

    Of a question that is asked anew nobody looks at the old answers any more.
    """
    for one in _questions(connection, ground):
        began_at = _began_at(connection, one.exposed) if one.ended_at is None else None
        if began_at is not None:
            yield one.name, look_plan(ground, began_at), _looks_taken(connection, one.name)[0]


def holdout_result(connection: Connection, ground: Ground) -> TestResult | None:
    """Treated against held people, by intention to treat; None where nobody is held."""
    plan = ground.applied.plan
    exposed = of_holdout(ground.applied.id, from_entry=not _begins_with_a_message(plan))
    node_ids = [ground.applied.nodes[n.id] for n in plan.messages]
    goal = comparable(plan, plan.goal) if plan.goal else None
    held, treated = collect(connection, exposed, (HELD, TREATED), node_ids, goal, ground.moment)
    if held.exposed == 0 or treated.exposed == 0:
        return None
    looks = LookPlan((ground.now,), ground.now - 1, "conversions")
    shares = _holdout_shares(ground, plan)
    return evaluate(f"{plan.campaign}/{HOLDOUT}", (held, treated), shares, looks, taken=0, now=ground.now - 1)


def _begins_with_a_message(plan: Plan) -> bool:
    first = plan.nodes[0] if plan.nodes else None
    return isinstance(first, MessageNode) and not first.is_ours


def comparable(plan: Plan, goal: Goal) -> Goal:
    """The goal as held and treated people can be compared by it: from a step that both reach, else from the exposure.

    Held people stay at the first message. Behind it they would never be seen to buy, and every mail would seem to sell.
    """
    is_shared = goal.from_step is None or goal.from_step in _before_the_second_message(plan)
    return goal if is_shared else replace(goal, from_step=None)


def _before_the_second_message(plan: Plan) -> set[str]:
    seen: set[str] = set()
    ahead = [plan.first]
    while ahead:
        step_id = ahead.pop()
        if step_id is None or step_id in seen:
            continue
        seen.add(step_id)
        node = plan.node(step_id)
        if not isinstance(node, MessageNode):
            ahead += following(node)
    return seen


def _holdout_shares(ground: Ground, plan: Plan) -> tuple[float, float]:
    free = (1 - (ground.rules.holdout if plan.global_holdout else 0) / 10_000) * (1 - plan.holdout / 10_000)
    return 1 - free, free


@dataclass(frozen=True, slots=True)
class _Question:
    name: str
    """Under which its looks are kept."""
    node: MessageNode | SplitNode
    exposed: sa.Select[Any]
    arms: tuple[tuple[str, int], ...]
    """With their shares."""
    ended_at: Micros | None = None


def _questions(connection: Connection, ground: Ground) -> Iterator[_Question]:
    for node in ground.applied.plan.nodes:
        match node:
            case MessageNode(test=test) if test is not None:
                for generation in generations_of(connection, ground.applied.nodes[node.id]):
                    yield from _of_generation(connection, ground, node, generation)
            case SplitNode():
                name, node_id = ground.applied.experiment(node.id), ground.applied.nodes[node.id]
                yield _Question(name, node, of_split(node_id), tuple((a.name, a.share) for a in node.arms))
            case _:
                pass


def _of_generation(
    connection: Connection, ground: Ground, node: MessageNode, generation: Generation
) -> Iterator[_Question]:
    assert node.test is not None
    node_id, name, ended_at = ground.applied.nodes[node.id], generation.name, generation.until
    # What was asked then is compared as it was asked then.
    arms = tuple(even_arms(node.test.variants if ended_at is None else generation.arms))
    if node.test.send_leader is None:
        yield _Question(name, node, of_test(node_id, generation=generation), arms, ended_at)
        return
    for wave_id in _waves(connection, node_id):
        exposed = of_test(
            node_id, wave_id=wave_id, experiment=name, sample=node.test.send_leader.sample, generation=generation
        )
        yield _Question(f"{name}/{wave_id}", node, exposed, arms, ended_at)


def _waves(connection: Connection, node_id: int) -> list[int]:
    e, s = t.enrolment.c, t.send.c
    return list(
        connection.scalars(
            sa.select(e.wave_id)
            .join_from(t.send, t.enrolment, e.id == s.enrolment_id)
            .where(s.node_id == node_id)
            .distinct()
            .order_by(e.wave_id)
        )
    )


def _asked(connection: Connection, ground: Ground, question: _Question) -> Asked | None:
    began_at = _began_at(connection, question.exposed)
    if began_at is None:
        return None
    plan, name, node = ground.applied.plan, question.name, question.node
    node_ids = _sends_that_answer(ground, node)
    arms = [arm for arm, _ in question.arms]
    figures = collect(connection, question.exposed, arms, node_ids, plan.goal, ground.moment)
    looks = look_plan(ground, began_at)
    taken, earlier = _looks_taken(connection, name)
    leader = node.test.send_leader if isinstance(node, MessageNode) and node.test else None
    result = evaluate(
        name, figures, [share for _, share in question.arms], looks, taken=taken, now=question.ended_at or ground.now, earlier=earlier,
        leader_by=leader.by if leader else None, min_events=leader.min_events if leader else 25,
        policy=leader.policy if leader else "leader",
    )  # fmt: skip
    return Asked(name, node.id, result, looks, taken, question.ended_at)


def _began_at(connection: Connection, exposed: sa.Select[Any]) -> Micros | None:
    first: Micros | None = connection.scalar(sa.select(sa.func.min(exposed.subquery().c.at)))
    return first


def _sends_that_answer(ground: Ground, node: MessageNode | SplitNode) -> list[int]:
    """A test is answered by its own message; a split by every message of the journey."""
    if isinstance(node, MessageNode):
        return [ground.applied.nodes[node.id]]
    return [ground.applied.nodes[n.id] for n in ground.applied.plan.messages]


def look_plan(ground: Ground, began_at: Micros) -> LookPlan:
    """The planned looks of a question whose first person was exposed at an instant."""
    plan = ground.applied.plan
    zone = ground.rules.timezone
    looks = tuple(add_span(zone, began_at, seconds=s.seconds, months=s.months) for s in plan.verdict.looks)
    by: Metric = "conversions" if plan.verdict.by == "goal" else plan.verdict.by
    if by in ("conversions", "revenue") and plan.goal is None:
        by = "clicks"
    is_broadcast = any(isinstance(e, Broadcast) for e in plan.entries)
    return LookPlan(
        looks, began_at, by, plan.verdict.alpha / 10_000, is_broadcast, correction=plan.verdict.correction
    )  # fmt: skip


def _looks_taken(connection: Connection, name: str) -> tuple[int, Verdict | None]:
    look = t.look.c
    row = connection.execute(
        sa.select(look.no, look.result).where(look.experiment == name).order_by(look.no.desc()).limit(1)
    ).one_or_none()
    return (0, None) if row is None else (row.no, Verdict(**row.result))

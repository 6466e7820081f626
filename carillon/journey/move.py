"""Stage 5, move: waits that are over or have had what they waited for, forks and exits, in the plan's order, so that one pass takes everybody on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import of_enrolment
from carillon.definition.model import WaitUntil, WaitUntilDate, WaitUntilDay
from carillon.experiment.split import arm_of
from carillon.journey.acts import (
    DONE,
    REFUSED,
    SPARED,
    branch_of_act,
    enter_target,
    target_of,
    write_core,
)
from carillon.journey.ground import Ground
from carillon.journey.moving import DATE_PAST, parts_of, write_moves
from carillon.journey.stand import Arriving, stand_at, stand_by_branch
from carillon.journey.wait_dates import end_date_waits
from carillon.journey.wait_for import AFTER, judge_waits
from carillon.journey.wake import wake
from carillon.plan.ahead import following
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
from carillon.store.engine import rowcount

OTHERWISE = "otherwise"


def move(ground: Ground) -> Counter[str]:
    """Take everybody on whose wait is over or who stands at a fork; returns step id → people moved."""
    moved: Counter[str] = Counter()
    wake(ground)
    for version_id, plan in ground.applied.versions.items():
        with ground.store.read() as connection:
            occupied = _occupied(connection, ground, version_id, plan)
        for node in plan.nodes:
            if isinstance(node, MessageNode) or ground.applied.nodes[node.id] not in occupied:
                continue
            if isinstance(node, ActNode):
                write_core(ground, undecided_here(ground, version_id, node), node)
            with ground.store.write("ledger") as connection:
                n = _move_node(connection, ground, version_id, plan, node)
            if n:
                moved[node.id] += n
                occupied |= {ground.applied.nodes[s] for s in following(node) if s is not None}
    return moved


def _occupied(connection: Connection, ground: Ground, version_id: int, plan: Plan) -> set[int]:
    """The steps but messages where somebody is due: one look into the index for each, however many are under way."""
    n, nodes = t.node.c, [ground.applied.nodes[node.id] for node in plan.nodes if not isinstance(node, MessageNode)]
    here = sa.select(t.enrolment.c.id).where(_due_here(ground, version_id, n.id))
    due = sa.exists(here.select_from(t.enrolment).correlate(t.node))
    return set(connection.scalars(sa.select(n.id).where(n.id.in_(nodes), due)))


def _move_node(connection: Connection, ground: Ground, version_id: int, plan: Plan, node: PlanNode) -> int:
    match node:
        case WaitNode(rule=WaitUntilDate() as rule):
            node_id = ground.applied.nodes[node.id]
            here, due_at = _due_here(ground, version_id, node_id), _due_at(ground, version_id, node_id)
            parts = parts_of(connection, ground, due_at)
            return sum(end_date_waits(connection, ground, plan, sa.and_(here, part), node, rule) for part in parts)
        case WaitNode():
            return _end_waits(connection, ground, version_id, plan, node)
        case WaitForNode():
            return _end_wait_fors(connection, ground, version_id, plan, node)
        case ChooseNode():
            branch = _branch_of_choose(ground, node)
            targets = [*((b.name, b.next) for b in node.branches), (OTHERWISE, node.otherwise)]
            return _fork(connection, ground, version_id, plan, node, branch, targets)
        case SplitNode():
            arms = [(a.name, a.share) for a in node.arms]
            branch = arm_of(ground.applied.experiment(node.id), arms, t.standing.c.h31)
            return _fork(connection, ground, version_id, plan, node, branch, [(a.name, a.next) for a in node.arms])
        case ActNode():
            return _act(connection, ground, version_id, plan, node)
        case ExitNode():
            return _exit(connection, ground, version_id, node)
        case MessageNode():
            return 0
        case _:
            assert_never(node)


def undecided_here(ground: Ground, version_id: int, node: PlanNode) -> sa.ColumnElement[bool]:
    """Who is due at a node and has no branch yet."""
    node_id, p = ground.applied.nodes[node.id], t.passage.c
    has_branch = sa.exists().where(p.node_id == node_id, p.enrolment_id == t.enrolment.c.id)
    return sa.and_(_due_here(ground, version_id, node_id), sa.not_(has_branch))


def _act(connection: Connection, ground: Ground, version_id: int, plan: Plan, node: ActNode) -> int:
    target = target_of(ground, node)
    if target is not None:
        enter_target(connection, target, undecided_here(ground, version_id, node), ground.applied.nodes[node.id])
    targets = [(branch, node.next) for branch in (DONE, SPARED, REFUSED)]
    return _fork(connection, ground, version_id, plan, node, branch_of_act(node, target), targets)


def _due_here(ground: Ground, version_id: int, node_id: int | sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    return sa.and_(_due_at(ground, version_id, node_id), ground.gate(version_id))


def _due_at(ground: Ground, version_id: int, node_id: int | sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    # A step is of one campaign: to name that too would lead through the index of all who are under way in it.
    e = t.enrolment.c
    return sa.and_(e.node_id == node_id, e.version_id == version_id, e.state == "live", e.due_at <= ground.now)


def _end_waits(connection: Connection, ground: Ground, version_id: int, plan: Plan, node: WaitNode) -> int:
    e, s, node_id = t.enrolment.c, t.standing.c, ground.applied.nodes[node.id]
    # Who arrives behind an instant goes on at once: a wait never takes anybody back in time.
    over = sa.case((e.due_at > e.arrived_at, e.due_at), else_=e.arrived_at)
    stand = stand_at(ground, plan, node.next, Arriving(over, s.zone, s.h31, e.wave_id, e.contact_id))
    exit_code: Any = stand.exit_code
    if isinstance(node.rule, WaitUntil | WaitUntilDay) and node.rule.if_past == "exit":
        exit_code = sa.case((e.due_at < e.arrived_at, DATE_PAST), else_=stand.exit_code)
    moves = (
        sa.select(
            e.id.label("enrolment_id"),
            stand.node_id.label("node_id"),
            over.label("arrived_at"),
            stand.due_at.label("due_at"),
            exit_code.label("exit_code"),
        )
        .join_from(t.enrolment, t.standing, s.contact_id == e.contact_id, isouter=True)
        .where(_due_here(ground, version_id, node_id))
    )
    parts = parts_of(connection, ground, _due_at(ground, version_id, node_id))
    return sum(write_moves(connection, moves.where(part)) for part in parts)


def _branch_of_choose(ground: Ground, node: ChooseNode) -> sa.ColumnElement[Any]:
    subject, moment = of_enrolment(contact=t.contact, standing=t.standing), ground.moment
    return sa.case(*((where(b.condition, subject, moment), b.name) for b in node.branches), else_=OTHERWISE)


def _fork(
    connection: Connection,
    ground: Ground,
    version_id: int,
    plan: Plan,
    node: ChooseNode | SplitNode | ActNode,
    branch: sa.ColumnElement[Any],
    targets: Sequence[tuple[str, str | None]],
) -> int:
    """Write down who takes which branch, then move everybody along what is written: repeating it changes nothing.

    Whose branch stands there already keeps it (`assigned.pass_in`).
    """
    e, s, p = t.enrolment.c, t.standing.c, t.passage.c
    node_id = ground.applied.nodes[node.id]
    here = _due_here(ground, version_id, node_id)
    has_branch = sa.exists().where(p.node_id == node_id, p.enrolment_id == e.id)
    taken = (
        sa.select(sa.literal(node_id, sa.BigInteger()), e.id, branch, e.due_at)
        .join_from(t.enrolment, t.standing, s.contact_id == e.contact_id)
        .join(t.contact, t.contact.c.id == e.contact_id)
        .where(here, sa.not_(has_branch))
    )
    connection.execute(t.passage.insert().from_select(["node_id", "enrolment_id", "branch", "at"], taken))
    return _take_branches(connection, ground, version_id, plan, node_id, targets)


def _take_branches(
    connection: Connection,
    ground: Ground,
    version_id: int,
    plan: Plan,
    node_id: int,
    targets: Sequence[tuple[str, str | None]],
) -> int:
    """Move everybody here along the branch that is written for them, as of its instant."""
    e, s, p = t.enrolment.c, t.standing.c, t.passage.c
    # Who passes once more, in a version with another order, keeps the branch but does not go back in time.
    at = sa.case((p.at < e.arrived_at, e.arrived_at), else_=p.at)
    stand = stand_by_branch(ground, plan, p.branch, targets, Arriving(at, s.zone, s.h31, e.wave_id, e.contact_id))
    moves = (
        sa.select(
            e.id.label("enrolment_id"),
            stand.node_id.label("node_id"),
            at.label("arrived_at"),
            stand.due_at.label("due_at"),
            stand.exit_code.label("exit_code"),
        )
        .join_from(t.enrolment, t.standing, s.contact_id == e.contact_id, isouter=True)
        .join(t.passage, sa.and_(p.node_id == node_id, p.enrolment_id == e.id))
        .where(_due_here(ground, version_id, node_id))
    )
    parts = parts_of(connection, ground, _due_at(ground, version_id, node_id))
    return sum(write_moves(connection, moves.where(part)) for part in parts)


def _end_wait_fors(connection: Connection, ground: Ground, version_id: int, plan: Plan, node: WaitForNode) -> int:
    node_id = ground.applied.nodes[node.id]
    here = _due_here(ground, version_id, node_id)
    judge_waits(connection, ground, here, node_id, node)
    targets = [*((o.name, o.next) for o in node.outcomes), (AFTER, node.late)]
    return _take_branches(connection, ground, version_id, plan, node_id, targets)


def _exit(connection: Connection, ground: Ground, version_id: int, node: ExitNode) -> int:
    e = t.enrolment.c
    node_id = ground.applied.nodes[node.id]
    here = _due_here(ground, version_id, node_id)
    leaving = sa.select(sa.literal(node_id, sa.BigInteger()), e.id, sa.literal("exit"), e.due_at).where(here)
    connection.execute(t.passage.insert().from_select(["node_id", "enrolment_id", "branch", "at"], leaving))
    return rowcount(
        connection.execute(
            t.enrolment.update()
            .where(here)
            .values(node_id=None, due_at=None, state="done", exit_code=node.reason, ended_at=e.due_at)
        )
    )

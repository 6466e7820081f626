"""`on_change: {move: latest}`: who stands at a step that the newest version still has goes on in it.

Asked once for each apply: of those who stood there at that instant. Whoever came to a step later, on an older version,
finishes on that one, and so does everybody whose step, or whose branch of a fork ahead, is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.journey.acts import DONE, REFUSED, SPARED
from carillon.journey.ground import Ground
from carillon.journey.move import OTHERWISE
from carillon.journey.moving import move_alone
from carillon.journey.stand import Arriving, end_of_wait
from carillon.journey.wait_for import AFTER
from carillon.plan.ahead import ahead
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
    ways_of,
)
from carillon.store import tables as t
from carillon.store.engine import rowcount


def move_to_latest(ground: Ground) -> Counter[str]:
    """Put onto the newest version whoever it still has a place for, where the campaign says so; step id → people."""
    moved: Counter[str] = Counter()
    if not ground.applied.plan.moves_to_latest:
        return moved
    for version_id, plan in ground.applied.versions.items():
        if version_id == ground.applied.live_version:
            continue
        for node in plan.nodes:
            moved[node.id] += _move(ground, version_id, plan, node)
    return +moved


def _move(ground: Ground, version_id: int, plan: Plan, node: PlanNode) -> int:
    movers = movers_at(ground, version_id, plan, node)
    if movers is None:
        return 0
    with ground.store.read() as connection:
        if connection.scalar(sa.select(sa.literal(1)).select_from(movers.limit(1).subquery())) is None:
            return 0
    m = movers.subquery("movers")
    with ground.store.write("ledger") as connection:
        move_alone(connection, ground.applied.id)
        _write_down(connection, ground, version_id, node, m)
        return rowcount(
            connection.execute(
                t.enrolment.update()
                .where(t.enrolment.c.id == m.c.enrolment_id)
                .values(version_id=ground.applied.live_version, due_at=m.c.due_at, moved_node=t.enrolment.c.node_id)
            )
        )


def _write_down(
    connection: Connection, ground: Ground, version_id: int, node: PlanNode, movers: sa.Subquery
) -> None:  # fmt: skip
    """One row a person and move: nothing else says later on which version somebody was, and what it changed for them."""
    row: dict[str, Any] = {
        "enrolment_id": movers.c.enrolment_id, "to_version": sa.literal(ground.applied.live_version, sa.BigInteger()),
        "from_version": sa.literal(version_id, sa.BigInteger()),
        "node_id": sa.literal(ground.applied.nodes[node.id], sa.BigInteger()),
        "at": sa.literal(ground.now, sa.BigInteger()), "due_before": movers.c.due_before, "due_at": movers.c.due_at,
    }  # fmt: skip
    rows = sa.select(*(value.label(name) for name, value in row.items())).select_from(movers)
    connection.execute(t.moved.insert().from_select(list(row), rows))


def standing_at(ground: Ground, version_id: int, step_id: str) -> sa.ColumnElement[bool]:
    """Who stands at a step on a version, and stood there when the newest one was applied."""
    e = t.enrolment.c
    return sa.and_(
        e.node_id == ground.applied.nodes[step_id], e.state == "live", e.campaign_id == ground.applied.id,
        e.version_id == version_id, e.arrived_at <= ground.applied.applied_at,
    )  # fmt: skip


def movers_at(ground: Ground, version_id: int, plan: Plan, node: PlanNode) -> sa.Select[Any] | None:
    """(enrolment_id, contact_id, due_before, due_at) of those who go on in the newest version; None: nobody can."""
    newest = ground.applied.plan
    now = next((n for n in newest.nodes if n.id == node.id), None)
    if now is None or not is_same_step(node, now):
        return None
    e, s = t.enrolment.c, t.standing.c
    stays = [_took_what_is_gone(ground, node.id)]
    if isinstance(now, MessageNode):
        stays.append(_is_sent_otherwise(ground, now, same_topic=plan.topic == newest.topic))
    return (
        sa.select(
            e.id.label("enrolment_id"),
            e.contact_id,
            e.due_at.label("due_before"),
            _due(ground, node, now).label("due_at"),
        )
        .join_from(t.enrolment, t.standing, s.contact_id == e.contact_id)
        .where(standing_at(ground, version_id, node.id), *(sa.not_(why) for why in stays))
    )


def is_same_step(before: PlanNode, now: PlanNode) -> bool:
    """Whether people who stand at one can stand at the other: the kind, and of a message the question it asks."""
    if isinstance(before, MessageNode) and isinstance(now, MessageNode):
        return before.test == now.test
    return before.kind == now.kind


def _due(ground: Ground, before: PlanNode, now: PlanNode) -> sa.ColumnElement[Any]:
    """When something is due under the newest version: as before where the step says the same, else reckoned anew."""
    e, s = t.enrolment.c, t.standing.c
    if isinstance(before, WaitNode) and isinstance(now, WaitNode) and before.rule != now.rule:
        end = end_of_wait(now.rule, Arriving(e.arrived_at, s.zone, s.h31, e.wave_id, e.contact_id))
        applied_at = sa.literal(ground.applied.applied_at, sa.BigInteger())
        # A wait cut short ends with the apply, not in the past: what follows counts from an instant that was lived.
        return sa.case((sa.and_(end > e.arrived_at, end < applied_at), applied_at), else_=end)
    if isinstance(before, WaitForNode) and isinstance(now, WaitForNode) and _asks(before) != _asks(now):
        return e.arrived_at  # asked at once
    return e.due_at


def _asks(node: WaitForNode) -> object:
    return node.at_most, [(o.name, o.condition) for o in node.outcomes]


def _took_what_is_gone(ground: Ground, step_id: str) -> sa.ColumnElement[bool]:
    """Who took a branch, at a fork that lies ahead in the newest version, which that fork no longer has."""
    e, p = t.enrolment.c, t.passage.c
    lost = [
        sa.and_(p.node_id == ground.applied.nodes[node.id], p.branch.not_in(branches))
        for node in ahead(ground.applied.plan, step_id)
        if (branches := branches_of(node)) is not None
    ]
    return sa.exists().where(p.enrolment_id == e.id, sa.or_(*lost)) if lost else sa.false()


def branches_of(node: PlanNode) -> Sequence[str] | None:
    """The branches that may be written down for those who pass a node; None where none is written."""
    match node:
        case ChooseNode():
            return [*(b.name for b in node.branches), OTHERWISE]
        case WaitForNode():
            return [*(o.name for o in node.outcomes), AFTER]
        case SplitNode():
            return [a.name for a in node.arms]
        case ActNode():
            return [DONE, SPARED, REFUSED]
        case ExitNode():
            return []
        case MessageNode() | WaitNode():
            return None


def _is_sent_otherwise(ground: Ground, now: MessageNode, *, same_topic: bool) -> sa.ColumnElement[bool]:
    """Whose send of this message is decided already, in a way that the newest version does not have."""
    s = t.send.c
    mine = sa.and_(s.node_id == ground.applied.nodes[now.id], s.enrolment_id == t.enrolment.c.id)
    channels = [str(way.channel) for way in ways_of(now)]
    return sa.exists().where(mine, s.channel.not_in(channels) if same_topic else sa.true())

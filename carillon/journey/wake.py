"""Whoever waits for something is asked when something is heard of them: a signal only wakes, the question decides."""

from __future__ import annotations

from functools import reduce

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.select import Dependencies, depends_on
from carillon.definition.model import WaitUntilDate
from carillon.journey import cursor
from carillon.journey.ground import Ground
from carillon.plan.model import Plan, PlanNode, WaitForNode, WaitNode
from carillon.store import tables as t
from carillon.store.engine import rowcount


def waits_on(plan: Plan) -> Dependencies:
    """What can end a wait of this plan, or move its end."""
    needs = [needs_of(node) for node in plan.nodes]
    return reduce(Dependencies.__or__, needs, Dependencies())


def needs_of(node: PlanNode) -> Dependencies:
    """What those who stand at the node may hear of."""
    match node:
        case WaitForNode(outcomes=outcomes):
            return reduce(Dependencies.__or__, (depends_on(o.condition) for o in outcomes), Dependencies())
        case WaitNode(rule=WaitUntilDate(field=field)):
            return Dependencies(fields=frozenset({field}))
        case _:
            return Dependencies()


def wake(ground: Ground) -> int:
    """Make due now whoever waits and was heard of since the last look; returns how many."""
    nodes = {
        ground.applied.nodes[node.id]
        for plan in ground.applied.versions.values()
        for node in plan.nodes
        if needs_of(node) != Dependencies()
    }
    if not nodes:
        return 0
    needs = reduce(Dependencies.__or__, map(waits_on, ground.applied.versions.values()))
    with ground.store.write("ledger") as connection:
        return _wake(connection, ground, sorted(nodes), needs)


def _wake(connection: Connection, ground: Ground, nodes: list[int], needs: Dependencies) -> int:
    e = t.enrolment.c
    signals, changes = cursor.span(connection, _heard(ground)), cursor.changes(connection, _changed(ground))
    waiting = sa.and_(e.campaign_id == ground.applied.id, e.state == "live", e.node_id.in_(nodes))
    woken = 0
    # Who arrives is asked about all that has happened: where nobody waits there is nothing to catch up with.
    if connection.scalar(sa.select(e.id).where(waiting).limit(1)) is not None:
        named = [e.contact_id.in_(heard_of(needs, *signals)), e.contact_id.in_(changed(needs, *changes))]
        due = t.enrolment.update().where(waiting, sa.or_(e.due_at.is_(None), e.due_at > ground.now), sa.or_(*named))
        woken = rowcount(connection.execute(due.values(due_at=ground.now)))
    for consumer, (low, high) in ((_heard(ground), signals), (_changed(ground), changes)):
        if high > low:
            cursor.advance(connection, consumer, high)
    return woken


def heard_of(needs: Dependencies, low: int, high: int) -> sa.Select[tuple[int | None]]:
    """The contacts that signals in (low, high] name, of those signals that can change an answer."""
    signal = t.signal.c
    kinds = [sa.and_(signal.kind == "event", signal.subject.in_(sorted(needs.events)))]
    if needs.feedback:
        kinds.append(signal.kind == "response")
    if needs.coupons:
        kinds.append(signal.kind == "redeem")
    if needs.standing:
        kinds.append(signal.kind.in_(("withdraw", "restore", "suppress")))
    named = sa.select(signal.contact_id).where(signal.id > low, signal.id <= high, signal.contact_id.is_not(None))
    return named.where(sa.or_(*kinds))


def changed(needs: Dependencies, low: int, high: int) -> sa.Select[tuple[int]]:
    """The contacts of whom a field that can change an answer was told anew, by the changes in (low, high]."""
    change = t.contact_change.c
    found = sa.select(change.contact_id).where(change.id > low, change.id <= high)
    return found if "*" in needs.fields else found.where(change.field.in_(sorted(needs.fields)))


def _heard(ground: Ground) -> str:
    return f"wake:{ground.applied.id}"


def _changed(ground: Ground) -> str:
    return f"wake-changed:{ground.applied.id}"

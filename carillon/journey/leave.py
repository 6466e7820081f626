"""Stage 3, leave: who stands at a message whose send is final goes on, counted from the hand-over or the decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.journey.ground import Ground
from carillon.journey.moving import move_alone, parts_of, write_moves
from carillon.journey.stand import Arriving, stand_at
from carillon.kernel.clock import Micros
from carillon.plan.model import MessageNode, Plan
from carillon.store import tables as t
from carillon.store.engine import rowcount

HELD = "held"
"""The exit code of the holdout: withheld at the first message, watched until the goal's window closed."""

FINAL_BATCH_STATES = ("accepted", "unsure", "closed")
GHOST = "ghost"


def leave(ground: Ground) -> Counter[str]:
    """Move on everybody whose send is final; returns step id → people who left it."""
    left: Counter[str] = Counter()
    for version_id, plan in ground.applied.versions.items():
        for node in plan.messages:
            with ground.store.write("ledger") as connection:
                move_alone(connection, ground.applied.id)
                n = _leave_node(connection, ground, version_id, plan, node)
                n += _end_ghosts(connection, ground, version_id, ground.applied.nodes[node.id])
            if n:
                left[node.id] += n
    return left


def over_at(send: Any, batch: Any) -> sa.ColumnElement[Micros]:
    """When a message was over for somebody, by the columns of their send and its batch: handed over, or decided not to be."""
    decided = sa.func.coalesce(send.decided_at, batch.decided_at)
    return sa.case((send.outcome.like("skipped:%"), decided), else_=sa.func.coalesce(batch.claimed_at, decided))


def leave_batches(ground: Ground, batches: Mapping[int, Sequence[int]]) -> Counter[str]:
    """Move on those of these batches, by node, whose send is final, each node in a transaction; step id → how many.

    Not where the next step is a message: a pass that is under way would decide there whom nobody has asked what is asked
    before one.
    """
    steps = {node_id: step for step, node_id in ground.applied.nodes.items()}
    left: Counter[str] = Counter()
    for node_id, ids in batches.items():
        with ground.store.write("ledger") as connection:
            move_alone(connection, ground.applied.id)
            for version_id, plan in ground.applied.versions.items():
                node = next((n for n in plan.messages if n.id == steps[node_id]), None)
                if node is not None and not any(n.id == node.next for n in plan.messages):
                    left[node.id] += _leave_batches(connection, ground, version_id, plan, node, ids)
    return +left


def _leave_node(connection: Connection, ground: Ground, version_id: int, plan: Plan, node: MessageNode) -> int:
    e, node_id = t.enrolment.c, ground.applied.nodes[node.id]
    here = sa.and_(e.node_id == node_id, e.version_id == version_id, e.state == "live")
    moves = _moves(ground, plan, node, t.send.c.node_id == node_id).where(here)
    return sum(write_moves(connection, moves.where(part)) for part in parts_of(connection, ground, here))


def _leave_batches(
    connection: Connection, ground: Ground, version_id: int, plan: Plan, node: MessageNode, ids: Sequence[int]
) -> int:  # fmt: skip
    e, s, b, node_id = t.enrolment.c, t.send.c, t.batch.c, ground.applied.nodes[node.id]
    # All that the others who are at it have in common is hidden: to find a few batches the indexes of it would be read
    # whole. PostgreSQL takes them for empty besides, where it does not know yet who has entered.
    is_live = sa.func.coalesce(e.state, "") == "live"
    here = sa.and_(e.node_id + 0 == node_id, e.version_id == version_id, is_live)
    theirs = sa.and_(s.batch_id.in_(ids), s.node_id + 0 == node_id)
    # Once more of the batches themselves: so few are read first, and not each once a person.
    moves = _moves(ground, plan, node, theirs, in_batches=True).where(here, b.id.in_(ids))
    return write_moves(connection, moves)


def _moves(
    ground: Ground, plan: Plan, node: MessageNode, sends: sa.ColumnElement[bool], *, in_batches: bool = False
) -> sa.Select[Any]:  # fmt: skip
    """Where those go who have such a send of this message, if it is final; `in_batches`: if it is in a batch as well."""
    e, s, b = t.enrolment.c, t.send.c, t.batch.c
    over = over_at(s, b)
    # Who comes by once more, in a version with another order, had it long ago: nobody goes back in time.
    arrived = sa.case((over < e.arrived_at, e.arrived_at), else_=over)
    zone, h31 = t.standing.c.zone, t.standing.c.h31
    stand = stand_at(ground, plan, node.next, Arriving(arrived, zone, h31, e.wave_id, e.contact_id))
    return (
        sa.select(
            e.id.label("enrolment_id"),
            stand.node_id.label("node_id"),
            arrived.label("arrived_at"),
            stand.due_at.label("due_at"),
            stand.exit_code.label("exit_code"),
        )
        .join_from(t.enrolment, t.send, sa.and_(sends, s.enrolment_id == e.id))
        .join(t.batch, b.id == s.batch_id, isouter=not in_batches)
        .outerjoin(t.standing, t.standing.c.contact_id == e.contact_id)
        .where(sa.or_(s.outcome != GHOST, sa.and_(s.outcome.is_(None), b.state.in_(FINAL_BATCH_STATES))))
    )


def _end_ghosts(connection: Connection, ground: Ground, version_id: int, node_id: int) -> int:
    e, s = t.enrolment.c, t.send.c
    is_ghost = sa.exists().where(s.node_id == node_id, s.enrolment_id == e.id, s.outcome == GHOST)
    return rowcount(
        connection.execute(
            t.enrolment.update()
            .where(e.node_id == node_id, e.state == "live", e.due_at <= ground.now)
            .where(e.version_id == version_id, is_ghost)
            .values(state="done", exit_code=HELD, ended_at=e.due_at, node_id=None, due_at=None)
        )
    )

"""Part people from their batch: into a child with a fate of its own, or back to being due.

`batch.n` is the number of a batch's rows, always: whoever leaves is subtracted where they were and counted where they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.model import BatchState
from carillon.kernel.clock import Micros
from carillon.policy.budgets import spend
from carillon.store.engine import rowcount
from carillon.store.tables import attempt, batch, enrolment, send

RESEND = "resend"
"""The attempt row that is no call but the decision to make one more."""

_WANTED_AGAIN = batch.c.resend_at.is_not(None)
_UNLEASED: dict[str, Any] = {
    "worker": None, "lease_until": None, "begun_at": None,
    "begun_through": sa.case((_WANTED_AGAIN, batch.c.begun_through)),
    "claimed_at": sa.case((_WANTED_AGAIN, batch.c.claimed_at)),
}  # fmt: skip
"""What a batch forgets when it becomes ready again: nothing of it has begun. Of one that was handed over before, and is
wanted once more, it stays known when that was and whom a report speaks for."""


def open_people(batch_id: int) -> sa.ColumnElement[bool]:
    """The people who share the state of this batch."""
    return sa.and_(send.c.batch_id == batch_id, send.c.outcome.is_(None))


def part(
    connection: Connection, parent_id: int, people: sa.ColumnElement[bool], state: BatchState, **columns: Any
) -> int:
    """Move those of the batch's open people into a new child of this state; how many moved (0: no child was made)."""
    return part_off(connection, parent_id, people, state, **columns)[1]


def part_off(
    connection: Connection, parent_id: int, people: sa.ColumnElement[bool], state: BatchState, **columns: Any
) -> tuple[int, int]:
    """The same; the id of the child, 0 where none was made, and how many moved."""
    some = sa.and_(open_people(parent_id), people)
    if connection.execute(sa.select(sa.exists().where(some))).scalar() is False:
        return 0, 0
    values = {"parent_id": parent_id, "state": state, "n": 0}
    values |= (_UNLEASED if state == "ready" else {}) | columns
    kept = [c for c in batch.c if c.name != "id"]
    child = connection.execute(
        sa.insert(batch)
        .from_select(
            [c.name for c in kept],
            sa.select(*(_as_column(values[c.name], c).label(c.name) if c.name in values else c for c in kept)).where(
                batch.c.id == parent_id
            ),
        )
        .returning(batch.c.id)
    ).scalar_one()
    _keep_decisions(connection, parent_id, child)
    moved = rowcount(connection.execute(sa.update(send).where(some).values(batch_id=child)))
    connection.execute(sa.update(batch).where(batch.c.id == child).values(n=moved))
    connection.execute(sa.update(batch).where(batch.c.id == parent_id).values(n=batch.c.n - moved))
    return child, moved


def _keep_decisions(connection: Connection, parent_id: int, child: int) -> None:
    """Whoever was wanted once more takes along who wanted it and why, into whatever batch they come."""
    mine = sa.and_(attempt.c.batch_id == parent_id, attempt.c.status == RESEND)
    kept = [sa.literal(child, sa.BigInteger()) if c.name == "batch_id" else c for c in attempt.c]
    connection.execute(sa.insert(attempt).from_select([c.name for c in attempt.c], sa.select(*kept).where(mine)))


def _as_column(value: Any, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return value if isinstance(value, sa.ColumnElement) else sa.literal(value, column.type)


def deferrals(connection: Connection, batch_id: int) -> int:
    """How often in a row this batch, or what it was cut from, was deferred."""
    return int(connection.execute(sa.select(batch.c.deferrals).where(batch.c.id == batch_id)).scalar_one())


def among(enrolments: Sequence[int]) -> sa.ColumnElement[bool]:
    """These people and no others."""
    return send.c.enrolment_id.in_(enrolments)


def make_due_again(connection: Connection, batch_id: int, people: sa.ColumnElement[bool]) -> int:
    """Forget that these open people of a batch that has not begun were reserved: the next reserve decides anew."""
    some = sa.and_(open_people(batch_id), people)
    gone = connection.execute(
        sa.delete(send).where(some).returning(send.c.enrolment_id, send.c.node_id, send.c.due_at)
    ).all()
    if gone:
        connection.execute(
            sa.update(enrolment)
            .where(
                enrolment.c.id == sa.bindparam("gone_id"),
                enrolment.c.node_id == sa.bindparam("gone_node"),
                enrolment.c.due_at.is_(None),
                enrolment.c.state == "live",
            )
            .values(due_at=sa.bindparam("gone_due")),
            [{"gone_id": row.enrolment_id, "gone_node": row.node_id, "gone_due": row.due_at} for row in gone],
        )
        connection.execute(sa.update(batch).where(batch.c.id == batch_id).values(n=batch.c.n - len(gone)))
        give_back(connection, batch_id, len(gone))
    return len(gone)


def give_back(connection: Connection, batch_id: int, people: int) -> None:
    """What so many people of a batch that never left would have cost is no longer spent."""
    row = connection.execute(
        sa.select(batch.c.campaign_id, batch.c.price_micro, batch.c.decided_at).where(batch.c.id == batch_id)
    ).one()
    spend(connection, row.campaign_id, -row.price_micro * people, row.decided_at)


def in_doubt(note: str, settled_at: Micros) -> dict[str, Any]:
    """The columns of a batch that may have left, for an UPDATE; an earlier wish to send it again is over with that."""
    return {"note": note, "settled_at": settled_at, "lease_until": None, "resend_at": None}


def not_sent_again(reason: str) -> str:
    """The note of people who were wanted once more and are not written to; they may have the message already."""
    return f"not sent again: {reason}"


def unleased() -> dict[str, Any]:
    """The columns of a batch that nothing of it has begun, for an UPDATE."""
    return dict(_UNLEASED)

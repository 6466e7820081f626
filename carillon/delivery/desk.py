"""One slice of people at a time: what is asked of them lies here in temporary tables until it is written, as batches and
sends, or with the reason why not.

Asking and writing may be two transactions of one connection: the tables stay in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Recurring
from carillon.delivery.codes import give_codes
from carillon.delivery.decided import Alike, Deciding, alike, decision_table, run_table, runs
from carillon.delivery.pace import batch_size
from carillon.delivery.question import question_of
from carillon.delivery.slices import Slice
from carillon.journey.ground import Ground
from carillon.journey.leave import GHOST
from carillon.journey.moving import move_alone
from carillon.kernel.clock import SECOND
from carillon.plan.model import MessageNode, Plan
from carillon.plan.rules import SenderRule
from carillon.plan.senders import sender_of
from carillon.policy.budgets import spend
from carillon.policy.coupons import Stock, pool_of
from carillon.policy.decide import KEEPS, Question, asks_conditions
from carillon.policy.words import WAITS, SkipReason
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.bulk import reserve_ids
from carillon.store.staging import weigh

MANY = 10_000
"""So many rows a planner should know of."""

LAST_OF = 9
"""SQLite leaves an eighth of each page of an index empty where rows come in its order: there one of so many is written
after the others, into the room that they left.
"""


@dataclass(slots=True)
class Reserved:
    """What one pass decided for one message."""

    step_id: str
    ready: int = 0
    ghosts: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    """Asked again later: quiet hours, a blackout, a full cap that is waited for."""

    @property
    def decided(self) -> int:
        return self.ready + self.ghosts + self.skipped.total() + self.waiting.total()

    def add(self, other: Reserved) -> None:
        """Count what another part of the pass decided for the same message."""
        self.ready += other.ready
        self.ghosts += other.ghosts
        self.skipped += other.skipped
        self.waiting += other.waiting


class Desk:
    """Decides slices of those who stand at one message, one after the other."""

    def __init__(
        self, ground: Ground, version_id: int, plan: Plan, node: MessageNode, max_people: Mapping[str, int]
    ) -> None:
        self._ground, self._plan, self._node, self._max_people = ground, plan, node, max_people
        self._deciding = Deciding(ground, version_id, node)
        self._question: Question | None = None

    def question(self, connection: Connection) -> Question:
        """What is asked, as it is now."""
        return question_of(connection, self._ground, self._plan, self._node)

    def decide(self, connection: Connection, one: Slice, *, alone: bool = False) -> Reserved:
        """Ask and write in one transaction."""
        self.ask(connection, one, alone=alone)
        return self.write(connection)

    def ask(self, connection: Connection, one: Slice, *, alone: bool = False) -> None:
        """Lay down what is decided of the slice; `alone`: only of those whose address nobody shares."""
        self._question = replace(self.question(connection), alone=alone)
        for table in (decision_table(), run_table()):
            table.create(connection)
        self._deciding.decide(connection, self._question, one)

    def write(self, connection: Connection) -> Reserved:
        """Write what was laid down; the desk is empty then. Returns what was decided."""
        assert self._question is not None, "nothing was asked"
        decision, run, stock = decision_table(), run_table(), self._question.stock
        groups = alike(connection, decision)
        if stock is not None or sum(group.n for group in groups if group.reason is not None) >= MANY:
            weigh(connection, decision.name)
        self._write_ready(connection, groups, decision, run)
        self._write_others(connection, {group.reason for group in groups}, stock, decision)
        for table in (run, decision):
            table.drop(connection)
        return _tally(groups, self._node)

    def _write_ready(
        self, connection: Connection, groups: Sequence[Alike], decision: sa.Table, run: sa.Table
    ) -> None:  # fmt: skip
        ground, plan, node = self._ground, self._plan, self._node
        sender = sender_of(ground.rules, plan, node)
        if sender is None:
            raise LookupError(f"{plan.campaign}: workspace.yaml has no sender for {node.channel}")
        size = batch_size(ground.rules, sender.channel, self._max_people.get(sender.connector, 1000))
        _write_batches(connection, ground, plan, node, sender, list(runs(groups, size)), decision, run)
        _write_sends(connection, ground, node, decision, run)

    def _write_others(
        self, connection: Connection, reasons: Set[str | None], stock: Stock | None, decision: sa.Table
    ) -> None:  # fmt: skip
        """Whoever gets nothing, or not yet; and the codes of those who get one."""
        ground, node = self._ground, self._node
        holds_ghosts = SkipReason.HOLDOUT in reasons and not node.is_ours
        if reasons - {None} - WAITS:
            _write_left_out(connection, ground, node, decision)
        if stock is not None:
            give_codes(connection, ground, stock.pool, decision)
        if reasons & WAITS or holds_ghosts:
            # Last of all: whoever moves them waits for nothing that is held here.
            move_alone(connection, ground.applied.id)
        if reasons & WAITS:
            _postpone(connection, decision)
        if holds_ghosts:
            _watch_ghosts(connection, ground, self._plan, decision)


def _write_batches(
    connection: Connection,
    ground: Ground,
    plan: Plan,
    node: MessageNode,
    sender: SenderRule,
    its_runs: Sequence[tuple[Alike, int, int]],
    decision: sa.Table,
    run: sa.Table,
) -> None:
    """A ready batch for each arm, language, edition and run of people; `run` says which people are whose."""
    if not its_runs:
        return
    ids = reserve_ids(connection, t.batch, len(its_runs))
    connection.execute(
        run.insert(),
        [{"batch_id": i, "first": first, "last": last} for i, (_, first, last) in zip(ids, its_runs, strict=True)],
    )
    d = decision.c
    together = connection.execute(
        sa.select(
            sa.func.count().label("n"), sa.func.min(d.due_at).label("due_at"),
            sa.func.min(d.not_after).label("not_after"), sa.func.sum(d.price).label("cost"),
        )
        .join_from(run, decision, _of_run(run, d)).group_by(run.c.batch_id).order_by(run.c.batch_id)
    ).all()  # fmt: skip
    shared = {
        "campaign_id": ground.applied.id, "node_id": ground.applied.nodes[node.id], "channel": str(node.channel),
        "sender": sender.name, "connector": sender.connector, "priority": plan.priority, "decided_at": ground.now,
        "coupon": pool_of(ground.applied.plan, node),
        "ask_at": ground.now + KEEPS if asks_conditions(plan, node, ground.rules) else None,
    }  # fmt: skip
    connection.execute(
        t.batch.insert(),
        [
            shared
            | {"id": batch_id, "arm": group.arm, "language": group.language, "texts_at": group.texts_at or None}
            | {"n": b.n, "due_at": b.due_at, "not_after": b.not_after, "price_micro": int(b.cost) // b.n}
            for batch_id, (group, _, _), b in zip(ids, its_runs, together, strict=True)
        ],
    )
    spend(connection, ground.applied.id, sum(int(b.cost) // b.n * b.n for b in together), ground.now)


def _of_run(run: sa.Table, d: Any) -> sa.ColumnElement[bool]:
    return sa.and_(d.place >= run.c.first, d.place <= run.c.last)


def _write_sends(connection: Connection, ground: Ground, node: MessageNode, decision: sa.Table, run: sa.Table) -> None:
    """One row of record for each who is in a batch."""
    rows = sa.select(*_record(ground, node, decision.c), run.c.batch_id).join_from(
        run, decision, _of_run(run, decision.c)
    )
    insert = t.send.insert()
    for some in _in_turn(ground.store.runs_here, decision.c.place):
        connection.execute(insert.from_select([c.name for c in rows.selected_columns], rows.where(some)))


def _in_turn(runs_here: bool, place: sa.ColumnElement[int]) -> Sequence[sa.ColumnElement[bool]]:
    """Who is written first, and who then: of those who lie in order, whoever comes last fills up the pages."""
    return [place % LAST_OF != 0, place % LAST_OF == 0] if runs_here else [sa.true()]


def _write_left_out(connection: Connection, ground: Ground, node: MessageNode, decision: sa.Table) -> None:
    """The row of record of who gets nothing: a ghost, or skipped with the reason."""
    d = decision.c
    is_ghost = sa.false() if node.is_ours else d.reason == SkipReason.HOLDOUT.value
    outcome = sa.case((is_ghost, GHOST), else_=sa.literal("skipped:") + d.reason)
    now = sa.literal(ground.now, sa.BigInteger())
    rows = sa.select(*_record(ground, node, d), now.label("decided_at"), outcome.label("outcome"))
    rows = rows.where(d.reason.is_not(None), d.wait_until.is_(None))
    connection.execute(t.send.insert().from_select([c.name for c in rows.selected_columns], rows))


def _record(ground: Ground, node: MessageNode, d: Any) -> list[sa.ColumnElement[Any]]:
    return [
        sa.literal(ground.applied.nodes[node.id]).label("node_id"), d.enrolment_id, d.contact_id, d.arm,
        sa.literal(str(node.channel), t.send.c.channel.type).label("channel"), d.due_at,
    ]  # fmt: skip


def _postpone(connection: Connection, decision: sa.Table) -> None:
    """Who waits, and has not left the campaign since, is due again at the first instant at which the message may leave."""
    e, d = t.enrolment.c, decision.c
    waits = sa.and_(e.id == d.enrolment_id, e.state == "live", d.wait_until.is_not(None))
    connection.execute(t.enrolment.update().where(waits).values(due_at=d.wait_until))


def _watch_ghosts(connection: Connection, ground: Ground, plan: Plan, decision: sa.Table) -> None:
    """A held person stays at the ghost until the goal's window closes.

    Without a goal there is nothing to wait for; of a recurring entry the next occurrence must find the person free.
    """
    e, d = t.enrolment.c, decision.c
    ends_at: sa.ColumnElement[Any] = sa.literal(ground.now, sa.BigInteger())
    if plan.goal is not None and not any(isinstance(entry, Recurring) for entry in plan.entries):
        within = plan.goal.within
        # A held person reaches no step behind this one: a window that opens there opens here for the ghost.
        opens = sa.literal(ground.now, sa.BigInteger()) if plan.goal.from_step else e.entered_at
        ends_at = opens + within.seconds * SECOND
        if within.months:
            s = t.standing.c
            window = localtime.add_months(s.zone, opens, within.months)
            ends_at = sa.select(window).where(s.contact_id == e.contact_id).scalar_subquery()
    ghosts = sa.select(d.enrolment_id).where(d.reason == SkipReason.HOLDOUT.value)
    connection.execute(t.enrolment.update().where(e.id.in_(ghosts), e.state == "live").values(due_at=ends_at))


def _tally(groups: Iterable[Alike], node: MessageNode) -> Reserved:
    result = Reserved(node.id)
    for group in groups:
        if group.reason is None:
            result.ready += group.n
        elif group.reason in WAITS:
            result.waiting[group.reason] += group.n
        elif group.reason == SkipReason.HOLDOUT and not node.is_ours:
            result.ghosts += group.n
        else:
            result.skipped[group.reason] += group.n
    return result

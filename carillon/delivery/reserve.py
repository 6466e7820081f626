"""Stage 7, reserve: one decision for everybody who is due, written as sends in ready batches, or with their reason.

Nobody is reserved before due. The whole workspace is decided in one pass under one lock, best priority first, so that
no limit across campaigns can be passed by two campaigns at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Recurring
from carillon.delivery.abreast import ABREAST, is_apart, rounds, shares_addresses
from carillon.delivery.codes import give_codes
from carillon.delivery.decided import Alike, Deciding, alike, decision_table, run_table, runs, temporary
from carillon.delivery.pace import batch_size
from carillon.delivery.question import question_of
from carillon.delivery.slices import SLICE, Slice, slices
from carillon.delivery.turns import take_pass
from carillon.journey.ground import Ground
from carillon.journey.leave import GHOST
from carillon.journey.moving import move_alone
from carillon.kernel.clock import SECOND
from carillon.plan.model import MessageNode, Plan
from carillon.plan.rules import SenderRule
from carillon.plan.senders import sender_of
from carillon.policy.budgets import spend
from carillon.policy.coupons import pool_of, settle_codes
from carillon.policy.decide import KEEPS, Question, asks_conditions
from carillon.policy.words import WAITS, SkipReason
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.bulk import reserve_ids
from carillon.store.staging import weigh, weigh_roughly

MANY = 10_000
"""So many new sends a planner should know of."""

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


@dataclass(frozen=True, slots=True)
class _Pass:
    """How one pass goes through the people: in slices, each a transaction of its own."""

    max_people: Mapping[str, int]
    slice_people: int
    told: Callable[[int], None]
    stopping: Callable[[], bool]


def reserve(
    grounds: Iterable[Ground],
    *,
    max_people: Mapping[str, int],
    slice_people: int = SLICE,
    told: Callable[[int], None] = lambda decided: None,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, list[Reserved]]:
    """Decide everybody due in these campaigns; returns campaign → what was decided a message.

    `max_people` says how many one request of each connector takes. Each slice of `slice_people` is a transaction of its
    own, of which `told` hears when it is written; once `stopping` says so no further slice begins.
    """
    its, done = _Pass(max_people, slice_people, told, stopping), dict[str, list[Reserved]]()
    for ground in sorted(grounds, key=lambda g: (-g.applied.plan.priority, g.applied.name)):
        for version_id, plan in ground.applied.versions.items():
            for node in plan.ways:
                result = _reserve_node(ground, version_id, plan, node, its)
                if result.decided:
                    done.setdefault(ground.applied.name, []).append(result)
    return done


def _reserve_node(ground: Ground, version_id: int, plan: Plan, node: MessageNode, its: _Pass) -> Reserved:
    result = Reserved(node.id)
    with ground.store.read() as connection:
        found = slices(connection, ground, version_id, node, its.slice_people)
    pool = pool_of(ground.applied.plan, node)
    if found and pool is not None:
        with ground.store.write("ledger") as connection:
            take_pass(connection)
            settle_codes(connection, {pool})
    if len(found) > 1 and not ground.store.runs_here:
        found = _abreast(ground, version_id, plan, node, found, its, result)
    deciding, weighed = Deciding(ground, version_id, node), 0
    for one in found:
        if its.stopping():
            break
        before = result.decided
        with ground.store.write("ledger") as connection:
            take_pass(connection)
            question = question_of(connection, ground, plan, node)
            _decide_slice(connection, ground, plan, node, deciding, one, question, its.max_people, result)
            weighed = _weighed(connection, result.decided, weighed)
        its.told(result.decided - before)
    return result


def _abreast(
    ground: Ground, version_id: int, plan: Plan, node: MessageNode, found: list[Slice], its: _Pass, result: Reserved
) -> list[Slice]:
    """Decide whom one can decide without the others, slices abreast; the slices that are to be decided one by one."""
    with ground.store.read() as connection:
        if its.stopping() or not is_apart(question_of(connection, ground, plan, node)):
            return found
    lanes = [(Deciding(ground, version_id, node), Reserved(node.id)) for _ in range(ABREAST)]

    def decide(connection: Connection, lane: int, one: Slice) -> None:
        deciding, told = lanes[lane]
        question = replace(question_of(connection, ground, plan, node), alone=True)
        _decide_slice(connection, ground, plan, node, deciding, one, question, its.max_people, told)

    weighed = before = 0
    for _ in rounds(ground.store, found, decide):
        decided = sum(told.decided for _, told in lanes)
        with ground.store.write("ledger") as connection:
            weighed = _weighed(connection, decided, weighed)
        its.told(decided - before)
        before = decided
        if its.stopping():
            break
    for _, told in lanes:
        result.add(told)
    with ground.store.read() as connection:
        is_left = shares_addresses(connection, node)
        return slices(connection, ground, version_id, node, its.slice_people) if is_left else []


def _weighed(connection: Connection, decided: int, weighed: int) -> int:
    """Of how many sends the planner knows, now that so many were decided."""
    if decided < max(MANY, 2 * weighed):
        return weighed
    weigh_roughly(connection, "ledger.send")
    return decided


def _decide_slice(
    connection: Connection, ground: Ground, plan: Plan, node: MessageNode, deciding: Deciding, one: Slice,
    question: Question, max_people: Mapping[str, int], result: Reserved,
) -> None:  # fmt: skip
    sender = sender_of(ground.rules, plan, node)
    if sender is None:
        raise LookupError(f"{plan.campaign}: workspace.yaml has no sender for {node.channel}")
    size = batch_size(ground.rules, sender.channel, max_people.get(sender.connector, 1000))
    with temporary(connection, decision_table()) as decision, temporary(connection, run_table()) as run:
        deciding.decide(connection, question, one)
        groups = alike(connection, decision)
        if question.stock is not None or sum(group.n for group in groups if group.reason is not None) >= MANY:
            weigh(connection, decision.name)
        _write_batches(connection, ground, plan, node, sender, list(runs(groups, size)), decision, run)
        _write_sends(connection, ground, node, decision, run)
        reasons = {group.reason for group in groups}
        if reasons - {None} - WAITS:
            _write_others(connection, ground, node, decision)
        if question.stock is not None:
            give_codes(connection, ground, question.stock.pool, decision)
        holds_ghosts = SkipReason.HOLDOUT in reasons and not node.is_ours
        if reasons & WAITS or holds_ghosts:
            move_alone(
                connection, ground.applied.id
            )  # last of all: whoever moves them waits for nothing that is held here
        if reasons & WAITS:
            _postpone(connection, decision)
        if holds_ghosts:
            _watch_ghosts(connection, ground, plan, decision)
        _tally(groups, node, result)


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


def _write_others(connection: Connection, ground: Ground, node: MessageNode, decision: sa.Table) -> None:
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
    """Who waits is due again at the first instant at which the message may leave."""
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


def _tally(groups: Iterable[Alike], node: MessageNode, result: Reserved) -> None:
    for group in groups:
        if group.reason is None:
            result.ready += group.n
        elif group.reason in WAITS:
            result.waiting[group.reason] += group.n
        elif group.reason == SkipReason.HOLDOUT and not node.is_ours:
            result.ghosts += group.n
        else:
            result.skipped[group.reason] += group.n

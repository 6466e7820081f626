"""Stage 7, reserve: one decision for everybody who is due, written as sends in ready batches, or with their reason.

Nobody is reserved before due. The whole workspace is decided in one pass under one lock, best priority first, so that
no limit across campaigns can be passed by two campaigns at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Recurring, Scheduled
from carillon.delivery.codes import give_codes
from carillon.delivery.editions import NEWEST, as_entered, editions_of
from carillon.delivery.pace import batch_size
from carillon.experiment.split import arm_of, even_arms, is_in_sample
from carillon.journey.ground import Ground
from carillon.journey.leave import GHOST
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND
from carillon.kernel.tokens import MAX_ENROLMENT
from carillon.messages.content import content_from_json
from carillon.messages.planned_parts import planned_parts
from carillon.plan.generations import generations_of
from carillon.plan.model import MessageNode, Plan, arms_of
from carillon.plan.rules import SenderRule
from carillon.plan.senders import sender_of
from carillon.policy.budgets import Purse, purse_of, spend
from carillon.policy.coupons import pool_of, settle_codes, stock_of
from carillon.policy.decide import KEEPS, Question, asks_conditions, decisions
from carillon.policy.limits import limits_of
from carillon.policy.words import WAITS, SkipReason
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.bulk import reserve_ids
from carillon.store.columns import Int64
from carillon.store.staging import weigh
from carillon.store.writing import take_turn

MANY = 10_000
"""So many new sends a planner should know of."""
DENSE = 4
SLICE = 100_000
"""Enrolments decided in one transaction: bounds the memory of a run and the time others wait for the ledger."""

RUN = SLICE // 10
"""Enrolments are counted by so many numbers at a time to find where a slice ends."""

PASS_LOCK = 0x43524C4E
"""PostgreSQL advisory lock of the reserve pass ("CRLN"); on SQLite the ledger's write lock is the same."""


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


def reserve(
    grounds: Iterable[Ground], *, max_people: Mapping[str, int], progress: Callable[[int], None] | None = None
) -> dict[str, list[Reserved]]:
    """Decide everybody due in these campaigns; returns campaign → what was decided a message.

    `max_people` says how many one request of each connector takes.
    """
    done: dict[str, list[Reserved]] = {}
    for ground in sorted(grounds, key=lambda g: (-g.applied.plan.priority, g.applied.name)):
        for version_id, plan in ground.applied.versions.items():
            for node in plan.ways:
                result = _reserve_node(ground, version_id, plan, node, max_people, progress)
                if result.decided:
                    done.setdefault(ground.applied.name, []).append(result)
    return done


def question_of(connection: Connection, ground: Ground, plan: Plan, node: MessageNode) -> Question:
    """What is asked of people who stand at this message."""
    node_id = ground.applied.nodes[node.id]
    nc = t.node_content.c
    languages = connection.scalars(
        sa.select(nc.language).where(nc.node_id == node_id, nc.channel == str(node.channel)).distinct()
    ).all()
    own_clock = any(isinstance(e, Scheduled) and e.zone == "contact" for e in plan.entries)
    pool = pool_of(ground.applied.plan, node)
    return Question(
        plan, node, node_id, ground.rules, ground.moment, tuple(sorted(languages)),
        None if own_clock else ground.rules.timezone,
        limits_of(connection, ground.rules, ground.applied.plan, plan, node, ground.topics, ground.now),
        _purse(connection, ground, node), None if pool is None else stock_of(connection, pool),
    )  # fmt: skip


def _purse(connection: Connection, ground: Ground, node: MessageNode) -> Purse | None:
    live = ground.applied.plan
    if not live.marketing or node.is_ours or (ground.rules.budget is None and live.budget is None):
        return None
    parts = _parts(connection, ground, node) if node.channel is Channel.SMS else {}
    return purse_of(connection, ground.rules, live.budget, ground.applied.id, str(node.channel), parts, ground.now)


def _parts(connection: Connection, ground: Ground, node: MessageNode) -> dict[str, int]:
    """Language → the most segments that one of its variants is written in."""
    texts = t.edition if ground.applied.plan.keeps_texts else t.node_content
    nc, c = texts.c, t.content.c
    rows = connection.execute(
        sa.select(nc.language, c.compiled)
        .join_from(texts, t.content, c.id == nc.content_id)
        .where(nc.node_id == ground.applied.nodes[node.id], nc.channel == str(Channel.SMS))
    ).all()
    parts: dict[str, int] = {}
    for language, compiled in rows:
        parts[language] = max(
            parts.get(language, 1), planned_parts(content_from_json(compiled), ground.rules.sms_footer)
        )
    return parts


def _reserve_node(
    ground: Ground,
    version_id: int,
    plan: Plan,
    node: MessageNode,
    max_people: Mapping[str, int],
    progress: Callable[[int], None] | None,
) -> Reserved:
    result = Reserved(node.id)
    with ground.store.read() as connection:
        ends = _slice_ends(connection, ground, version_id, node)
    pool = pool_of(ground.applied.plan, node)
    if ends and pool is not None:
        with ground.store.write("ledger") as connection:
            take_turn(connection, PASS_LOCK)
            settle_codes(connection, {pool})
    for span in pairwise([-1, *ends]):
        before = result.decided
        with ground.store.write("ledger") as connection:
            take_turn(connection, PASS_LOCK)
            _decide_slice(connection, ground, version_id, plan, node, span, max_people, result)
            if result.decided - before >= MANY:
                weigh(connection, "ledger.send")
        if progress is not None:
            progress(result.decided - before)
    return result


def _due(
    ground: Ground, version_id: int, node: MessageNode, span: tuple[int, int] | None = None
) -> sa.ColumnElement[bool]:
    """Who stands at the message and is due; of a slice, where a span is given."""
    e, node_id = t.enrolment.c, ground.applied.nodes[node.id]
    # A look-up a person: as an anti-join PostgreSQL, before it knows of the sends, read all of the node for each.
    sent = sa.select(sa.literal(1)).where(t.send.c.node_id == node_id, t.send.c.enrolment_id == e.id)
    after, last = span or (-1, MAX_ENROLMENT)
    # Where a slice lies close together its place finds it faster than what they have in common: `+ 0` hides that index.
    stands_at = e.node_id + 0 if last - after <= DENSE * SLICE else e.node_id
    return sa.and_(
        stands_at == node_id, e.state == "live", e.due_at <= ground.now, e.campaign_id == ground.applied.id,
        e.version_id == version_id, e.id > after, e.id <= last, sent.correlate(t.enrolment).scalar_subquery().is_(None), ground.gate(version_id),
    )  # fmt: skip


def _slice_ends(connection: Connection, ground: Ground, version_id: int, node: MessageNode) -> Sequence[int]:
    """The last enrolment of each slice in which somebody is to be decided."""
    e = t.enrolment.c
    # Of those who stand here runs of numbers are counted: who of them is due is asked in the slice, where it is needed.
    here = sa.and_(e.node_id == ground.applied.nodes[node.id], e.state == "live", e.due_at <= ground.now)
    last = sa.func.max(e.id)
    runs = connection.execute(sa.select(last, sa.func.count()).where(here).group_by(e.id // RUN).order_by(last)).all()
    return [
        end
        for after, end in pairwise([-1, *_full_slices(runs)])
        if connection.scalar(sa.select(sa.exists(sa.select(e.id).where(_due(ground, version_id, node, (after, end))))))
    ]


def _full_slices(runs: Iterable[tuple[int, int] | sa.Row[tuple[int, int]]]) -> Iterator[int]:
    """The ends of slices of so many runs as go into one."""
    people, end = 0, None
    for last, n in runs:
        if end is not None and people + n > SLICE:
            yield end
            people = 0
        people, end = people + n, last
    if end is not None:
        yield end


def _decide_slice(
    connection: Connection,
    ground: Ground,
    version_id: int,
    plan: Plan,
    node: MessageNode,
    span: tuple[int, int],
    max_people: Mapping[str, int],
    result: Reserved,
) -> None:
    sender = sender_of(ground.rules, plan, node)
    if sender is None:
        raise LookupError(f"{plan.campaign}: workspace.yaml has no sender for {node.channel}")
    size = batch_size(ground.rules, sender.channel, max_people.get(sender.connector, 1000))
    due = sa.select(t.enrolment).where(_due(ground, version_id, node, span)).subquery("due")
    question = question_of(connection, ground, plan, node)
    with _temporary(connection, _decision_table()) as decision, _temporary(connection, _run_table()) as run:
        decided = decisions(question, due).subquery("decided")
        texts_at = _texts_at(connection, ground, node, decided.c)
        _fill(connection, node, decided, texts_at, _arm(connection, ground, node, decided.c, texts_at), decision)
        alike = _alike(connection, decision)
        if sum(group.n for group in alike) >= MANY:
            weigh(connection, decision.name)
        _write_batches(connection, ground, plan, node, sender, list(_runs(alike, size)), decision, run)
        _write_sends(connection, ground, node, decision, run)
        _write_others(connection, ground, node, decision)
        if question.stock is not None:
            give_codes(connection, ground, question.stock.pool, decision)
        _postpone(connection, decision)
        if not node.is_ours:
            _watch_ghosts(connection, ground, plan, decision)
        _tally(alike, node, result)


@contextmanager
def _temporary(connection: Connection, table: sa.Table) -> Iterator[sa.Table]:
    table.create(connection)
    yield table
    table.drop(connection)


def _run_table() -> sa.Table:
    """Which places of `decision` share which batch."""
    return sa.Table(
        "run_of_people",
        sa.MetaData(),
        sa.Column("batch_id", Int64, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger),
        sa.Column("last", sa.BigInteger),
        prefixes=["TEMPORARY"],
    )


def _decision_table() -> sa.Table:
    """The slice's decisions, in memory: both the batches and the sends are written from it."""
    return sa.Table(
        "decision",
        sa.MetaData(),
        sa.Column("place", Int64, primary_key=True, autoincrement=True),
        sa.Column("enrolment_id", sa.BigInteger),
        sa.Column("contact_id", sa.BigInteger),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("not_after", sa.BigInteger),
        sa.Column("arm", sa.String),
        sa.Column("language", sa.String),
        sa.Column("texts_at", sa.BigInteger),
        sa.Column("reason", sa.String),
        sa.Column("wait_until", sa.BigInteger),
        sa.Column("price", sa.BigInteger),
        prefixes=["TEMPORARY"],
    )


def _texts_at(connection: Connection, ground: Ground, node: MessageNode, d: Any) -> sa.ColumnElement[Any]:
    """The edition of the texts that each gets. A test's words are those of the decision: its arms belong to them."""
    if not ground.applied.plan.keeps_texts and node.test is None:
        return sa.literal(NEWEST, sa.BigInteger())
    editions = editions_of(connection, ground.applied.nodes[node.id])
    if ground.applied.plan.keeps_texts:
        return as_entered(editions, d.enrolment_id)
    return sa.literal(editions[-1] if editions else NEWEST, sa.BigInteger())


def _fill(
    connection: Connection, node: MessageNode, decided: sa.Subquery, texts_at: sa.ColumnElement[Any],
    arm: sa.ColumnElement[Any], decision: sa.Table,
) -> None:  # fmt: skip
    d = decided.c
    rows = sa.select(
        d.enrolment_id,
        d.contact_id,
        d.due_at,
        d.not_after,
        arm.label("arm"),
        d.language,
        texts_at.label("texts_at"),
        d.reason,
        d.wait_until,
        d.price,
    )
    # Rows are numbered as they come: a sort, where a window would be two passes more.
    rows = rows.order_by(
        d.reason, sa.literal_column("arm"), d.language, sa.literal_column("texts_at"), d.due_at, d.contact_id
    )
    connection.execute(decision.insert().from_select([c.name for c in rows.selected_columns], rows))


def _arm(
    connection: Connection, ground: Ground, node: MessageNode, d: Any, texts_at: sa.ColumnElement[Any]
) -> sa.ColumnElement[Any]:
    arms = arms_of(node)
    if len(arms) == 1:
        return sa.literal(arms[0])
    # The words were read before: whoever gets old ones is drawn by the question that was about them.
    asked = generations_of(connection, ground.applied.nodes[node.id])
    *older, newest = asked
    drawn = [(generation.owns(texts_at), _arm_by(generation.name, node, d)) for generation in older]
    return sa.case(*drawn, else_=_arm_by(newest.name, node, d)) if drawn else _arm_by(newest.name, node, d)


def _arm_by(experiment: str, node: MessageNode, d: Any) -> sa.ColumnElement[Any]:
    arms, test = arms_of(node), node.test
    if test is None or test.send_leader is None:
        return arm_of(experiment, even_arms(arms), d.h31)
    led = sa.select(t.leader.c.arm).where(t.leader.c.experiment == experiment, t.leader.c.wave_id == d.wave_id)
    split = arm_of(experiment, even_arms(arms), d.h31, wave_id=d.wave_id)
    in_sample = is_in_sample(experiment, d.wave_id, test.send_leader.sample, d.h31)
    leader = sa.func.nullif(led.scalar_subquery(), "")
    return sa.case((in_sample, split), else_=sa.func.coalesce(leader, split))


@dataclass(frozen=True, slots=True)
class _Alike:
    """People with the same reason, arm, language and edition: they lie together in `decision`."""

    reason: str | None
    arm: str
    language: str
    texts_at: int
    n: int
    first: int


def _alike(connection: Connection, decision: sa.Table) -> list[_Alike]:
    d = decision.c
    what = (d.reason, d.arm, d.language, d.texts_at)
    rows = connection.execute(sa.select(*what, sa.func.count(), sa.func.min(d.place)).group_by(*what))
    return sorted((_Alike(*row) for row in rows), key=lambda group: group.first)


def _runs(alike: Iterable[_Alike], size: int) -> Iterator[tuple[_Alike, int, int]]:
    """The places, first and last, of so many at most who may share a batch."""
    for group in alike:
        if group.reason is None:
            end = group.first + group.n
            yield from ((group, first, min(first + size, end) - 1) for first in range(group.first, end, size))


def _write_batches(
    connection: Connection,
    ground: Ground,
    plan: Plan,
    node: MessageNode,
    sender: SenderRule,
    runs: Sequence[tuple[_Alike, int, int]],
    decision: sa.Table,
    run: sa.Table,
) -> None:
    """A ready batch for each arm, language, edition and run of people; `run` says which people are whose."""
    if not runs:
        return
    ids = reserve_ids(connection, t.batch, len(runs))
    connection.execute(
        run.insert(),
        [{"batch_id": i, "first": first, "last": last} for i, (_, first, last) in zip(ids, runs, strict=True)],
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
            for batch_id, (group, _, _), b in zip(ids, runs, together, strict=True)
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
    connection.execute(t.send.insert().from_select([c.name for c in rows.selected_columns], rows))


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
    connection.execute(
        t.enrolment.update().where(e.id == d.enrolment_id, d.wait_until.is_not(None)).values(due_at=d.wait_until)
    )


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
    connection.execute(t.enrolment.update().where(e.id.in_(ghosts)).values(due_at=ends_at))


def _tally(alike: Iterable[_Alike], node: MessageNode, result: Reserved) -> None:
    for group in alike:
        if group.reason is None:
            result.ready += group.n
        elif group.reason in WAITS:
            result.waiting[group.reason] += group.n
        elif group.reason == SkipReason.HOLDOUT and not node.is_ours:
            result.ghosts += group.n
        else:
            result.skipped[group.reason] += group.n

"""The ledger's invariants (ledger.md §5) as set queries: each returns what breaks it, with evidence; none means it holds.

They hold between any two stages, so a test asks them after every one, and `carillon status --verify` whenever a person
wants to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.model import EXITED, REJECTED
from carillon.journey.acts import DONE, REFUSED, SPARED
from carillon.journey.leave import GHOST
from carillon.journey.move import OTHERWISE
from carillon.journey.stand import FINISHED
from carillon.journey.wait_for import AFTER
from carillon.plan.applied import applied_names, load_campaign
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

SHOWN = 5
"""Rows of evidence in one violation; the number says how many there are."""

BATCH_STATES = ("ready", "claimed", "accepted", "unsure", "closed", "withdrawn")
"""What a person without an outcome of their own may share; `split` is none: all went to children."""

MAYBE_LEFT = ("accepted", "unsure", "lapsed")
"""How an attempt ended after which a message may have left."""

UNKNOWN = -1
"""Where somebody was moved who was under way before that was written down: of them alone the way is not asked."""

NO_CALL = ("resend", "evidence", "accept", "close")
"""Rows of `attempt` that are decisions, not hand-overs."""

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant: what should hold, how often it does not, and where."""

    rule: str
    n: int
    evidence: tuple[str, ...]

    @property
    def sentence(self) -> str:
        more = f" and {self.n - len(self.evidence):,} more" if self.n > len(self.evidence) else ""
        return f"{self.rule}: {'; '.join(self.evidence)}{more}"


@dataclass(frozen=True, slots=True)
class _Check:
    """What should hold, the query whose rows break it, and the sentence that their columns fill."""

    rule: str
    query: sa.Select[Any]
    say: str

    def ask(self, connection: Connection) -> Iterator[Violation]:
        rows = connection.execute(self.query).mappings().all()
        if rows:
            every = self.query.limit(None).order_by(None).subquery()
            n = connection.scalar(sa.select(sa.func.count()).select_from(every)) or 0
            yield Violation(self.rule, n, tuple(self.say.format_map(row) for row in rows))


def violations(connection: Connection) -> list[Violation]:
    """Everything that does not hold in this ledger."""
    checks = [*_of_ledger()]
    for name in applied_names(connection):
        applied = load_campaign(connection, name)
        for version_id, plan in applied.versions.items():
            names = {node.id: applied.experiment(node.id) for node in plan.messages if node.test is not None}
            there = _There(applied.id, applied.name, version_id, tuple(applied.nodes.items()), tuple(names.items()))
            checks += _of_version(there, plan)
    return [violation for check in checks for violation in check.ask(connection)]


def _check(rule: str, query: sa.Select[Any], say: str) -> _Check:
    return _Check(rule, query.limit(SHOWN), say)


@cache
def _of_ledger() -> tuple[_Check, ...]:
    """Made once: a test asks after every stage, and writing the queries cost as much as their answers."""
    return (*_sums(), *_begun_twice(), *_codes())


def _sums() -> Iterator[_Check]:
    """What is counted in one place is what stands in the other."""
    e, w, s, b = t.enrolment.c, t.wave.c, t.send.c, t.batch.c
    entered = sa.select(sa.func.count()).where(e.wave_id == w.id).scalar_subquery()
    yield _check(
        "a wave's people are its enrolments",
        sa.select(w.id, w.n, entered.label("found")).where(w.n != entered),
        "wave {id} says {n}, {found} entered",
    )
    rows = sa.select(sa.func.count()).where(s.batch_id == b.id).scalar_subquery()
    yield _check(
        "a batch's n is its rows",
        sa.select(b.id, b.n, rows.label("found")).where(b.n != rows),
        "batch {id} says {n}, has {found}",
    )
    state = sa.func.coalesce(s.outcome, b.state)
    known = sa.or_(
        sa.and_(s.outcome.is_(None), b.state.in_(BATCH_STATES)),
        s.outcome.in_((GHOST, REJECTED, EXITED)),
        s.outcome.like("skipped:_%"),
    )
    yield _check(
        "everybody who was decided for is sent, unsure, rejected, skipped with a reason, or waiting",
        sa.select(s.node_id, s.enrolment_id, state.label("state"))
        .outerjoin_from(t.send, t.batch, b.id == s.batch_id)
        .where(sa.not_(sa.func.coalesce(known, sa.false()))),
        "node {node_id}, enrolment {enrolment_id} is {state}",
    )
    yield _check(
        "a ghost is of the holdout, and only of it",
        sa.select(s.node_id, s.enrolment_id, e.role)
        .join_from(t.send, t.enrolment, e.id == s.enrolment_id)
        .where(sa.or_(sa.and_(s.outcome == GHOST, e.role == "treated"), sa.and_(s.batch_id.is_not(None), e.role != "treated"))),
        "node {node_id}, enrolment {enrolment_id} is {role}",
    )  # fmt: skip


def _codes() -> Iterator[_Check]:
    """Of coupons: whoever has a message that bears a code holds it, and nobody holds a free one."""
    s, b, c = t.send.c, t.batch.c, t.coupon.c
    holds = sa.exists().where(c.pool == b.coupon, c.enrolment_id == s.enrolment_id, c.state != "free")
    yield _check(
        "whoever has a message with a coupon holds a code",
        sa.select(s.node_id, s.enrolment_id, b.coupon)
        .join_from(t.batch, t.send, s.batch_id == b.id)
        .where(b.coupon.is_not(None), b.state != "withdrawn", s.outcome.is_(None), sa.not_(holds)),
        "node {node_id}, enrolment {enrolment_id} has none of {coupon}",
    )
    yield _check(
        "a code is free, or it is somebody's",
        sa.select(c.pool, c.code, c.state).where((c.state == "free") != c.enrolment_id.is_(None)),
        "{code} of {pool} is {state}",
    )


def _begun_twice() -> Iterator[_Check]:
    """Nobody is begun again after a hand-over that may have left, unless somebody wrote that they wanted it."""
    first, then, between = t.attempt.alias("first"), t.attempt.alias("later"), t.attempt.alias("decision")
    decided = sa.exists().where(
        between.c.batch_id == first.c.batch_id, between.c.status == "resend", between.c.no > first.c.no,
        between.c.no < then.c.no,
    )  # fmt: skip
    rule = "nobody is begun twice without a written decision"
    yield _check(
        rule,
        sa.select(first.c.batch_id, first.c.no, then.c.no.label("again"))
        .join_from(first, then, sa.and_(then.c.batch_id == first.c.batch_id, then.c.no > first.c.no))
        .where(first.c.status.in_(MAYBE_LEFT), then.c.status.not_in(NO_CALL), sa.not_(decided)),
        "batch {batch_id}: attempt {again} after attempt {no}",
    )
    s, twice = t.send.c, t.receipt.alias("receipt")
    yield _check(
        "who has the provider's receipt is not handed over again",
        sa.select(s.node_id, s.enrolment_id, t.batch.c.id)
        .join_from(t.send, t.batch, t.batch.c.id == s.batch_id)
        .join(twice, sa.and_(twice.c.node_id == s.node_id, twice.c.enrolment_id == s.enrolment_id))
        .where(t.batch.c.state == "ready", s.outcome.is_(None)),
        "node {node_id}, enrolment {enrolment_id} is ready in batch {id}",
    )


@dataclass(frozen=True, slots=True)
class _There:
    """A version as it stands in the store: all that its queries know beside the plan."""

    campaign_id: int
    campaign: str
    version_id: int
    node_ids: tuple[tuple[str, int], ...]
    tests: tuple[tuple[str, str], ...]

    @property
    def nodes(self) -> dict[str, int]:
        """Step id → node id."""
        return dict(self.node_ids)

    @property
    def experiments(self) -> dict[str, str]:
        """Step id → the name of its test."""
        return dict(self.tests)


@lru_cache(maxsize=256)
def _of_version(there: _There, plan: Plan) -> tuple[_Check, ...]:
    return tuple(_ways_gone(there, plan))


def _ways_gone(there: _There, plan: Plan) -> Iterator[_Check]:
    e = t.enrolment.c
    mine = sa.and_(e.campaign_id == there.campaign_id, e.version_id == there.version_id)
    live = sa.and_(mine, e.state == "live")
    here = f"{there.campaign}, version {there.version_id}"
    yield _check(
        f"nobody is forgotten ({here})",
        sa.select(e.id, e.node_id, e.due_at).where(live, sa.not_(_is_awaited(there, plan))),
        "enrolment {id} stands at node {node_id}, due {due_at}, and nothing will come",
    )
    stands = [node for node in plan.nodes if node.id != plan.first]
    ways, whole = _ways(plan), sa.func.coalesce(e.moved_node, 0) != UNKNOWN
    for node in stands:
        came = sa.or_(_moved_at(there, node.id), *(_passed(there, plan, way, ways) for way in ways[node.id]))
        yield _check(
            f"each step's people have arrived at it ({here}, {node.id})",
            sa.select(e.id).where(live, e.node_id == there.nodes[node.id], sa.not_(came), whole),
            "enrolment {id} stands there without having come",
        )
    came = sa.or_(sa.false(), *(_passed(there, plan, way, ways) for way in ways[None]))
    if plan.nodes:
        yield _check(
            f"who finished has gone the whole way ({here})",
            sa.select(e.id).where(mine, e.state == "done", e.exit_code == FINISHED, sa.not_(came), whole),
            "enrolment {id} ended without having come to the end",
        )


def _moved_at(there: _There, step_id: str) -> Condition:
    """Who came onto this version while they stood at the step: they have arrived at it, by an older version's way."""
    return sa.func.coalesce(t.enrolment.c.moved_node, 0) == there.nodes[step_id]


def _is_awaited(there: _There, plan: Plan) -> Condition:
    """Something will move this enrolment on: an instant, a send under way, or a leader to come."""
    e, s, lead = t.enrolment.c, t.send.c, t.leader.c
    sent = sa.exists().where(s.node_id == e.node_id, s.enrolment_id == e.id)
    known = e.node_id.in_([there.nodes[n.id] for n in plan.nodes])
    leaders = [
        sa.and_(
            e.node_id == there.nodes[n.id],
            sa.not_(sa.exists().where(lead.experiment == there.experiments[n.id], lead.wave_id == e.wave_id)),
        )
        for n in plan.messages
        if n.test is not None and n.test.send_leader is not None
    ]
    return sa.and_(known, sa.or_(e.due_at.is_not(None), sent, *leaders))


Way = tuple[PlanNode, str | None]
"""A node and the branch of it that leads on; None where it has only one."""


@cache
def _ways(plan: Plan) -> dict[str | None, list[Way]]:
    """Step (None: the end) → the ways into it."""
    ways: dict[str | None, list[Way]] = {step: [] for step in (*(n.id for n in plan.nodes), None)}
    for node in plan.nodes:
        match node:
            case MessageNode() | WaitNode():
                ways[node.next].append((node, None))
            case ChooseNode():
                for branch in node.branches:
                    ways[branch.next].append((node, branch.name))
                ways[node.otherwise].append((node, OTHERWISE))
            case WaitForNode():
                for outcome in node.outcomes:
                    ways[outcome.next].append((node, outcome.name))
                ways[node.late].append((node, AFTER))
            case SplitNode():
                for arm in node.arms:
                    ways[arm.next].append((node, arm.name))
            case ActNode():
                for way in (DONE, SPARED, REFUSED):
                    ways[node.next].append((node, way))
            case ExitNode():
                pass
    return ways


def _passed(there: _There, plan: Plan, way: Way, ways: dict[str | None, list[Way]]) -> Condition:
    """Whether an enrolment has taken this way: its send or its passage says so; a wait is known by what leads to it."""
    e, s, p = t.enrolment.c, t.send.c, t.passage.c
    node, branch = way
    node_id = there.nodes[node.id]
    if isinstance(node, MessageNode):
        return sa.exists().where(s.node_id == node_id, s.enrolment_id == e.id)
    if isinstance(node, WaitNode):
        if node.id == plan.first:
            return sa.true()
        return sa.or_(_moved_at(there, node.id), *(_passed(there, plan, before, ways) for before in ways[node.id]))
    return sa.exists().where(p.node_id == node_id, p.enrolment_id == e.id, p.branch == branch)

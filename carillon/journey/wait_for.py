"""`wait_for`: whoever waits goes on by the first outcome that happened after their arrival, or when their time is over.

An outcome has the instant at which it happened, not that of the run; what only a question can tell (a field of the
contact, a count that must not be passed) happens when it is asked, and who stands there on arrival is asked as of then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.coupons import turns_at
from carillon.audience.happening import Waiting, answer_of, happened_at
from carillon.audience.moment import of_enrolment
from carillon.audience.select import depends_on
from carillon.definition.conditions import All, AnyOf, Condition, CouponIs, Not
from carillon.journey.ground import Ground
from carillon.kernel.clock import MINUTE, SECOND, Micros
from carillon.plan.model import WaitForNode
from carillon.store import localtime
from carillon.store import tables as t

AFTER = "after"
"""The branch of those for whom nothing happened in time."""

ASKED_EVERY: Micros = 15 * MINUTE
"""What no event and no change tells is asked so often: segments, consent, what time alone makes true."""


def judge_waits(
    connection: Connection, ground: Ground, here: sa.ColumnElement[bool], node_id: int, node: WaitForNode
) -> None:
    """Write down by which branch those who stand `here` go on, and its answer; the others are due when it may have changed."""
    p, e = t.passage.c, t.enrolment.c
    has_branch = sa.exists().where(p.node_id == node_id, p.enrolment_id == e.id)
    judged = judgement(ground, here, node).where(sa.not_(has_branch)).offset(_NOUGHT).subquery("judged")
    branch, at = _first(judged, node, ground.now)
    taken = sa.select(sa.literal(node_id, sa.BigInteger()), judged.c.enrolment_id, branch, at).where(
        branch.is_not(None)
    )
    connection.execute(t.passage.insert().from_select(["node_id", "enrolment_id", "branch", "at"], taken))
    _write_answers(connection, ground, here, node_id, node)
    _ask_again(connection, ground, here, has_branch, node)


_NOUGHT = sa.literal_column("0", sa.Integer)
"""OFFSET 0 is a fence: without it each instant is computed again wherever it is compared."""


def judgement(ground: Ground, here: sa.ColumnElement[bool], node: WaitForNode) -> sa.Select[Any]:
    """(enrolment_id, arrived_at, ends_at, h0, h1, …): when the wait is over, and when each outcome happened if it has."""
    e, c = t.enrolment.c, t.contact.c
    waiting = _waiting(ground)
    instants = [happened_at(o.condition, waiting, ground.moment).label(f"h{i}") for i, o in enumerate(node.outcomes)]
    return (
        sa.select(e.id.label("enrolment_id"), e.arrived_at, _ends_at(node).label("ends_at"), *instants)
        .join_from(t.enrolment, t.contact, c.id == e.contact_id)
        .join(t.standing, t.standing.c.contact_id == e.contact_id)
        .where(here)
    )


def _waiting(ground: Ground) -> Waiting:
    e = t.enrolment.c
    subject = of_enrolment(contact=t.contact, standing=t.standing)
    # Due since arrival: asked for the first time, however late the run.
    asked_at = sa.case((e.due_at <= e.arrived_at, e.arrived_at), else_=sa.literal(ground.now, sa.BigInteger()))
    return Waiting(subject, e.arrived_at, asked_at)


def _ends_at(node: WaitForNode) -> sa.ColumnElement[Any]:
    e, span = t.enrolment.c, node.at_most
    if span.months:
        return localtime.add_months(t.standing.c.zone, e.arrived_at, span.months)
    return e.arrived_at + span.seconds * SECOND


def _first(judged: sa.Subquery, node: WaitForNode, now: Micros) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """(branch, instant) of what happened first, of two at once what is written first; NULL where it is still waited."""
    j = judged.c
    instants = [sa.case((j[f"h{i}"] <= j.ends_at, j[f"h{i}"])) for i in range(len(node.outcomes))]
    firsts = [_is_first(instants, i) for i in range(len(instants))]
    is_over = j.ends_at <= now
    branch = sa.case(
        *((first, o.name) for first, o in zip(firsts, node.outcomes, strict=True)), (is_over, sa.literal(AFTER))
    )
    # `since: entry` may have come true before arrival: nobody goes back in time.
    held = [sa.case((instant < j.arrived_at, j.arrived_at), else_=instant) for instant in instants]
    at = sa.case(*zip(firsts, held, strict=True), (is_over, j.ends_at))
    return branch, at


def _is_first(instants: Sequence[sa.ColumnElement[Any]], i: int) -> sa.ColumnElement[bool]:
    mine = instants[i]
    earlier = [sa.or_(other.is_(None), other > mine) for other in instants[:i]]
    later = [sa.or_(other.is_(None), other >= mine) for other in instants[i + 1 :]]
    return sa.and_(mine.is_not(None), *earlier, *later)


def _write_answers(
    connection: Connection, ground: Ground, here: sa.ColumnElement[bool], node_id: int, node: WaitForNode
) -> None:
    """The event that ended the wait is the answer from now on; a wait that no event ended leaves none."""
    e, p, waiting = t.enrolment.c, t.passage.c, _waiting(ground)
    found = [(o.name, answer_of(o.condition, waiting, ground.moment, p.at)) for o in node.outcomes]
    by_events = [(p.branch == name, answer) for name, answer in found if answer is not None]
    nothing = sa.cast(sa.null(), sa.BigInteger())
    answers = (
        sa.select(e.id, p.at, (sa.case(*by_events) if by_events else nothing).label("hash64"))
        .join_from(t.enrolment, t.contact, t.contact.c.id == e.contact_id)
        .join(t.standing, t.standing.c.contact_id == e.contact_id)
        .join(t.passage, sa.and_(p.node_id == node_id, p.enrolment_id == e.id))
        .where(here)
        .subquery("answers")
    )
    a = answers.c
    connection.execute(
        t.enrolment.update()
        .where(e.id == a.id)
        .values(answer_at=sa.case((a.hash64.is_not(None), a.at)), answer_hash=a.hash64)
    )


def _ask_again(
    connection: Connection, ground: Ground, here: sa.ColumnElement[bool], has_branch: sa.ColumnElement[bool], node: WaitForNode
) -> None:  # fmt: skip
    e, due = t.enrolment.c, _ends_at(node)
    for turn in _turns(ground, [outcome.condition for outcome in node.outcomes]):
        due = sa.case((turn < due, turn), else_=due)
    again = (
        sa.select(e.id, due.label("due_at"))
        .join_from(t.enrolment, t.standing, t.standing.c.contact_id == e.contact_id)
        .join(t.contact, t.contact.c.id == e.contact_id)
        .where(here, sa.not_(has_branch))
        .subquery("again")
    )
    connection.execute(t.enrolment.update().where(e.id == again.c.id).values(due_at=again.c.due_at))


def _turns(ground: Ground, asked: Sequence[Condition]) -> Iterator[sa.ColumnElement[Any]]:
    """The instants at which an answer may have changed that nothing tells of."""
    soon = sa.literal(ground.now + ASKED_EVERY, sa.BigInteger())
    if any(map(asks_by_time, asked)):
        yield soon
        return
    subject = of_enrolment(contact=t.contact, standing=t.standing)
    yield from (turns_at(code, subject, ground.moment, soon) for code in own_codes_in(asked))


def own_codes_in(conditions: Iterable[Condition]) -> Iterator[CouponIs]:
    """What is asked of codes of the enrolment's own."""
    for condition in conditions:
        match condition:
            case All(parts) | AnyOf(parts):
                yield from own_codes_in(parts)
            case Not(part):
                yield from own_codes_in([part])
            case CouponIs(is_own=True):
                yield condition
            case _:
                pass


def asks_by_time(condition: Condition) -> bool:
    """Whether it can come true without an event, an answer to a message or a change of the contact that is heard of, and at
    no instant that is known before: of a code of the enrolment's own it is."""
    match condition:
        case All(parts) | AnyOf(parts):
            return any(map(asks_by_time, parts))
        case Not(part):
            return asks_by_time(part)
        case CouponIs(is_own=True):
            return False
        case _:
            pass
    needs = depends_on(condition)
    return needs.time or needs.standing or bool(needs.campaigns) or "*" in needs.fields

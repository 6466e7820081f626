"""Stage 2, exit: who fulfils an exit condition or the goal leaves at once, wherever they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import of_enrolment
from carillon.audience.select import depends_on
from carillon.definition.conditions import All, AnyOf, Condition, ContactIs, HasEvent, Not, Responded
from carillon.journey import cursor
from carillon.journey.ground import Ground
from carillon.journey.moving import move_alone
from carillon.journey.wake import changed, heard_of
from carillon.kernel.clock import Micros
from carillon.plan.model import Plan
from carillon.store import tables as t
from carillon.store.bulk import many
from carillon.store.engine import rowcount

GOAL, STOPPED = "goal", "stopped"


def exits(ground: Ground) -> Counter[str]:
    """End the enrolments of all who were heard of and now fulfil an exit condition; returns exit code → people.

    Only contacts named by signals, or told anew, since the last look are asked. What time alone makes true is asked by
    `exits_of_due`, when a message falls due.
    """
    gone: Counter[str] = Counter()
    with ground.store.read() as connection:
        if _news(connection, ground).is_none:
            return gone
    with ground.store.write("ledger") as connection:
        move_alone(connection, ground.applied.id)
        news = _news(connection, ground)
        for version_id, plan in ground.applied.versions.items():
            for code, condition in exit_conditions(plan):
                gone[code] += _end(connection, ground, version_id, code, condition, _concerned(condition, news))
        if gone.total():
            _drop_ready_sends(connection, ground)
        for consumer, (low, high) in news.spans:
            if high > low:
                cursor.advance(connection, consumer, high)
    return +gone


@dataclass(frozen=True, slots=True)
class _News:
    """The signals and the changes of contacts that this campaign's exits have not looked at."""

    campaign_id: int
    signals: tuple[int, int]
    changes: tuple[int, int]

    @property
    def spans(self) -> tuple[tuple[str, tuple[int, int]], ...]:
        return (f"exit:{self.campaign_id}", self.signals), (f"exit-changed:{self.campaign_id}", self.changes)

    @property
    def is_none(self) -> bool:
        return all(low == high for _, (low, high) in self.spans)


def _news(connection: Connection, ground: Ground) -> _News:
    (heard, _), (changed, _) = _News(ground.applied.id, (0, 0), (0, 0)).spans
    return _News(ground.applied.id, cursor.span(connection, heard), cursor.changes(connection, changed))


def exits_of_due(ground: Ground) -> Counter[str]:
    """The same question to everybody who is due at a message and not decided yet, just before it is decided."""
    e, s = t.enrolment.c, t.send.c
    gone: Counter[str] = Counter()
    for version_id, plan in ground.applied.versions.items():
        asked = list(exit_conditions(plan))
        if not asked or not plan.messages:
            continue
        at_message = e.node_id.in_([ground.applied.nodes[n.id] for n in plan.messages])
        undecided = sa.not_(sa.exists().where(s.node_id == e.node_id, s.enrolment_id == e.id))
        with ground.store.write("ledger") as connection:
            move_alone(connection, ground.applied.id)
            for code, condition in asked:
                due = sa.and_(at_message, e.due_at <= ground.now, undecided)
                gone[code] += _end(connection, ground, version_id, code, condition, due)
    return +gone


def end_all(connection: Connection, campaign_id: int, now: Micros) -> int:
    """A person stopped the campaign: everybody under way leaves, whatever they wait for; returns how many."""
    e = t.enrolment.c
    move_alone(connection, campaign_id)
    under_way = t.enrolment.update().where(e.campaign_id == campaign_id, e.state == "live")
    return rowcount(connection.execute(under_way.values(state="done", exit_code=STOPPED, ended_at=now, due_at=None)))


def exit_conditions(plan: Plan) -> Iterator[tuple[str, Condition]]:
    """(exit code, condition) in the order they are asked; events are counted from entry."""
    if plan.exits_on_goal and plan.goal is not None:
        yield GOAL, goal_condition(plan)
    for condition in plan.exit_on:
        yield exit_code(condition), _since_entry(condition)


def goal_condition(plan: Plan) -> Condition:
    """The goal as a condition: its event has happened since entry, or since its `from` step."""
    assert plan.goal is not None
    return HasEvent(plan.goal.event, since=plan.goal.from_step or "entry", where=plan.goal.where, same=plan.goal.same)


def exit_code(condition: Condition) -> str:
    """The word under which such exits are counted."""
    match condition:
        case HasEvent(event=event):
            return event
        case ContactIs(tests) if tests:
            return tests[0].field
        case Responded(what=what):
            return what
        case _:
            return condition.kind


def _since_entry(condition: Condition) -> Condition:
    match condition:
        case HasEvent(since=None, within=None):
            return replace(condition, since="entry")
        case All(parts):
            return All(tuple(map(_since_entry, parts)))
        case AnyOf(parts):
            return AnyOf(tuple(map(_since_entry, parts)))
        case Not(part):
            return Not(_since_entry(part))
        case _:
            return condition


def _end(
    connection: Connection,
    ground: Ground,
    version_id: int,
    code: str,
    condition: Condition,
    asked: sa.ColumnElement[bool],
) -> int:
    e = t.enrolment.c
    leaving = (
        sa.select(e.id)
        .join_from(t.enrolment, t.contact, t.contact.c.id == e.contact_id)
        .join(t.standing, t.standing.c.contact_id == e.contact_id)
        .where(e.campaign_id == ground.applied.id, e.version_id == version_id, e.state == "live")
        .where(asked)
        .where(where(condition, of_enrolment(contact=t.contact, standing=t.standing), ground.moment))
    )
    return rowcount(
        connection.execute(
            t.enrolment.update()
            .where(e.id.in_(leaving))
            .values(state="done", exit_code=code, ended_at=ground.now, due_at=None)
        )
    )


def _concerned(condition: Condition, news: _News) -> sa.ColumnElement[bool]:
    """The enrolments of contacts of whom something was heard that can make the condition true."""
    needs, contact = depends_on(condition), t.enrolment.c.contact_id
    return sa.or_(contact.in_(heard_of(needs, *news.signals)), contact.in_(changed(needs, *news.changes)))


def _drop_ready_sends(connection: Connection, ground: Ground) -> None:
    """What is reserved and not yet claimed will not be handed over; the claim asks the same once more.

    A batch that is being claimed at this instant is left to its claim: by what was ready a moment ago, who has just been
    handed over would be written down as one who was not.
    """
    e, s, b = t.enrolment.c, t.send.c, t.batch.c
    gone = sa.select(e.id).where(e.campaign_id == ground.applied.id, e.state == "done", e.ended_at == ground.now)
    theirs = sa.and_(s.node_id.in_(_messages(ground)), s.enrolment_id.in_(gone), s.outcome.is_(None))
    ready = sa.and_(b.campaign_id == ground.applied.id, b.state == "ready", b.resend_at.is_(None))
    held = sa.select(b.id).where(ready, b.id.in_(sa.select(s.batch_id).where(theirs))).with_for_update(skip_locked=True)
    if ids := connection.scalars(held).all():
        connection.execute(t.send.update().where(theirs, s.batch_id.in_(many(ids))).values(outcome="exited"))


def _messages(ground: Ground) -> set[int]:
    return {ground.applied.nodes[n.id] for plan in ground.applied.versions.values() for n in plan.messages}

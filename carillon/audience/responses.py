"""`received`, `opened` and `clicked` as SQL: what became of our messages, as far as people are concerned.

An open behind a mail proxy is *hidden*: neither yes nor no. So each word has two predicates, one for those who surely
fulfil it and one for those who surely do not; who is in neither is hidden. A click shows that a person opened.
A message counts once, at its hand-over, its first open or its first click.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import sqlalchemy as sa

from carillon.audience import bounds
from carillon.audience.moment import ConditionError, Expression, Moment, Predicate, Subject
from carillon.audience.sets import Rows, among, weighs
from carillon.definition.conditions import Responded
from carillon.kernel.channels import OURS
from carillon.store import tables
from carillon.store.by_contact import same_event
from carillon.store.json import text_at

HANDED_OVER = ("accepted", "unsure", "closed")
"""States of a send that has left, or may have."""


def responded(condition: Responded, subject: Subject, at: Moment) -> Predicate:
    """Do they surely fulfil it? Never NULL."""
    return _asked(condition, subject, at, yes=True)


def not_responded(condition: Responded, subject: Subject, at: Moment) -> Predicate:
    """Do they surely not fulfil it? Never NULL; hidden opens fulfil neither this nor its opposite."""
    return _asked(condition, subject, at, yes=False)


@dataclass(frozen=True, slots=True)
class _Messages:
    """Messages of a contact: rows, and for each whether it counts and whether it is hidden."""

    source: sa.FromClause
    inner: tuple[sa.FromClause, ...]
    keys: sa.FromClause
    counts: Predicate
    hidden: Predicate | None
    where: tuple[Predicate, ...]
    ways: tuple[Predicate, ...] = ()
    """The ways in which one counts: together they say the same as `counts`."""


def _asked(condition: Responded, subject: Subject, at: Moment, *, yes: bool) -> Predicate:
    found = _messages(condition, at)
    keys = found.keys.c
    where = (*found.where, *_scope(condition, keys.node_id, keys.enrolment_id, subject, at))
    surely = found.counts
    possibly = surely if found.hidden is None else sa.or_(surely, found.hidden)
    rows = Rows(
        found.source,
        keys.contact_id,
        (*where, possibly),
        inner=found.inner,
        correlated=condition.of in ("step", "message"),
    )
    if bounds.is_any(condition.count) or bounds.is_none(condition.count):
        if bounds.is_any(condition.count) is yes:  # at least one that surely counts
            one = rows.only(*where, found.counts)
            if condition.of == "any" and condition.what != "received":
                return sa.or_(*(among(rows, subject, at) for rows in _newest(condition, one, subject, at)))
            return among(_one_that_counts(found, one, where, subject), subject, at)
        return sa.not_(among(rows, subject, at))  # none that even possibly counts
    group = _group(condition, found, yes=yes)
    if bounds.holds(condition.count, 0) is yes:  # who has no such message at all is in the wanted set, too
        return sa.not_(among(rows.having(sa.not_(group)), subject, at))
    return among(rows.having(group), subject, at)


def _newest(condition: Responded, one: Rows, subject: Subject, at: Moment) -> tuple[Rows, ...]:
    """Those whose newest open or click counts. Where it lies behind a virtual clock's now, their messages tell (`one`)."""
    newest = tables.contact_response.alias()
    times = (newest.c.last_click, *((newest.c.last_open,) if condition.what == "opened" else ()))
    counts = sa.or_(*(_in_time(time, condition, at) for time in times))
    by_then = among(one, Subject(newest.c.contact_id, few=True), at)
    later = sa.and_(sa.or_(*(time > at.now for time in times)), by_then)
    # Of a whole audience PostgreSQL hashes each of the two. Asked for both at once it weighs the question about messages
    # as if it were asked of everybody, and looks each person up instead.
    ways = (counts, later) if weighs(at) and not subject.few else (sa.or_(counts, later),)
    return tuple(Rows(newest, newest.c.contact_id, (way,), inner=(newest,)) for way in ways)


def _one_that_counts(found: _Messages, one: Rows, where: tuple[Predicate, ...], subject: Subject) -> Rows:
    """Those with a message that counts: of a whole audience way by way, since each way has an index in order of time."""
    if subject.few or one.correlated or len(found.ways) < 2:
        return one
    contact_id = found.keys.c.contact_id.label("member")
    ways = sa.union_all(*(sa.select(contact_id).select_from(found.source).where(*where, way) for way in found.ways))
    members = ways.subquery()
    return Rows(members, members.c.member, (), inner=(members,))


def _group(condition: Responded, found: _Messages, *, yes: bool) -> Predicate:
    if found.hidden is None:
        inside = bounds.within(condition.count, sa.func.count())
        return inside if yes else sa.not_(inside)
    least: Expression = sa.func.sum(sa.case((found.counts, 1), else_=0))
    most: Expression = sa.func.count()
    return (bounds.surely_within if yes else bounds.surely_outside)(condition.count, least, most)


def _messages(condition: Responded, at: Moment) -> _Messages:
    match condition.what:
        case "received":
            return _received(condition, at)
        case "opened" | "clicked":
            return _answered(condition, at)
        case _:
            assert_never(condition.what)


def _received(condition: Responded, at: Moment) -> _Messages:
    send, batch, response = tables.send.alias(), tables.batch.alias(), tables.response.alias()
    bounced = sa.exists(
        sa.select(sa.literal(1))
        .where(
            response.c.node_id == send.c.node_id,
            response.c.enrolment_id == send.c.enrolment_id,
            response.c.bounced_at <= at.now,
        )
        .correlate_except(response)
    )
    left = sa.func.coalesce(send.c.outcome, batch.c.state).in_(HANDED_OVER)
    when = sa.func.coalesce(batch.c.claimed_at, send.c.due_at)
    where = [left, send.c.channel.not_in(OURS), sa.not_(bounced)]
    if condition.of == "channel":
        where.append(send.c.channel == condition.name)
    source = send.outerjoin(batch, batch.c.id == send.c.batch_id)
    return _Messages(source, (send, batch), send, _in_time(when, condition, at), None, tuple(where))


def _answered(condition: Responded, at: Moment) -> _Messages:
    response, send = tables.response.alias(), tables.send.alias()
    source: sa.FromClause = response
    inner: tuple[sa.FromClause, ...] = (response,)
    where: tuple[Predicate, ...] = ()
    if condition.of == "channel":
        same_send = sa.and_(send.c.node_id == response.c.node_id, send.c.enrolment_id == response.c.enrolment_id)
        source, inner, where = response.join(send, same_send), (response, send), (send.c.channel == condition.name,)
    clicked = _in_time(response.c.first_click, condition, at)
    if condition.what == "clicked":
        return _Messages(source, inner, response, clicked, None, where)
    opened = sa.or_(_in_time(response.c.first_open, condition, at), clicked)
    by_nobody = sa.not_(sa.or_(_until_now(response.c.first_open, at), _until_now(response.c.first_click, at)))
    hidden = sa.and_(by_nobody, _in_time(response.c.machine_open, condition, at))
    ways = (_in_time(response.c.first_open, condition, at), clicked)
    return _Messages(source, inner, response, opened, hidden, where, ways)


def first_response(condition: Responded, subject: Subject, at: Moment, after: Expression) -> Expression:
    """The first opening or click of a person later than `after`; NULL where there is none.

    Behind the first one that counts, what no report calls a machine's counts: who read the message once may read it again.
    """
    response, event, send = tables.response.alias(), tables.event.alias(), tables.send.alias()
    own = tables.contact_event.alias()
    same = sa.and_(
        same_event(own, event), event.c.node_id == response.c.node_id,
        event.c.enrolment_id == response.c.enrolment_id, text_at(event.c.props, ("machine",)).is_(None),
    )  # fmt: skip
    source: sa.FromClause = response.join(own, own.c.contact_id == response.c.contact_id).join(event, same)
    inner, where = [response, own, event], [response.c.contact_id == subject.contact_id]
    if condition.of == "channel":
        sent = sa.and_(send.c.node_id == response.c.node_id, send.c.enrolment_id == response.c.enrolment_id)
        source, inner = source.join(send, sent), [*inner, send]
        where.append(send.c.channel == condition.name)
    counts = sa.and_(own.c.kind == "message.clicked", event.c.occurred_at >= response.c.first_click)
    if condition.what == "opened":
        counts = sa.or_(
            counts, sa.and_(own.c.kind == "message.opened", event.c.occurred_at >= response.c.first_open)
        )  # fmt: skip
    found = sa.select(sa.func.min(event.c.occurred_at)).select_from(source).where(*where, counts)
    found = found.where(*_scope(condition, response.c.node_id, response.c.enrolment_id, subject, at))
    found = found.where(event.c.occurred_at > after, _in_time(event.c.occurred_at, condition, at))
    return found.correlate_except(*inner).scalar_subquery()


def _until_now(when: Expression, at: Moment) -> Predicate:
    return sa.and_(when.is_not(None), when <= at.now)


def _in_time(when: Expression, condition: Responded, at: Moment) -> Predicate:
    until_now = _until_now(when, at)
    return sa.and_(until_now, when > at.ago(condition.within)) if condition.within else until_now


def _scope(
    condition: Responded, node_id: Expression, enrolment_id: Expression, subject: Subject, at: Moment
) -> tuple[Predicate, ...]:
    """Which messages are spoken of."""
    match condition.of:
        case "any" | "channel":
            return ()
        case "campaign":
            return (node_id.in_(nodes_of((condition.name,))),)
        case "topic":
            return (node_id.in_(nodes_of(at.topics.get(condition.name, ()))),)
        case "step" | "message":
            if subject.enrolment is None:
                raise ConditionError(f"{condition.what}: {condition.name} asks about a journey, and a segment has none")
            steps = (condition.name,) if condition.of == "step" else at.messages.get(condition.name, ())
            nodes = nodes_of((at.campaign,) if at.campaign else (), steps)
            return (node_id.in_(nodes), enrolment_id == subject.enrolment.c.id)
        case _:
            assert_never(condition.of)


def nodes_of(campaigns: tuple[str, ...], steps: tuple[str, ...] | None = None) -> sa.Select[tuple[int]]:
    """The nodes of campaigns by name, all or those of some steps."""
    node, campaign = tables.node.alias(), tables.campaign.alias()
    query = (
        sa.select(node.c.id)
        .select_from(node.join(campaign, campaign.c.id == node.c.campaign_id))
        .where(campaign.c.name.in_(campaigns))
        .correlate(None)
    )
    return query if steps is None else query.where(node.c.step_id.in_(steps))

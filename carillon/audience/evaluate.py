"""The one evaluator: a condition as a SQL predicate, the same for segments, `if`, `only_if`, `exclude` and `exit_on`.

Missing knowledge is handled before SQL sees it: `Not` is pushed down to the leaves, and each leaf knows who surely
fulfils it and who surely does not. So a predicate is never NULL, and people whose open is hidden by a proxy stand on
neither side: neither `opened` nor `not: {opened}` takes them. To negate a condition, wrap it in `Not`; a `~` around the
predicate would take the hidden ones, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

import sqlalchemy as sa

from carillon.audience.analyst import analyst_holds
from carillon.audience.coupons import coupon_is
from carillon.audience.events import event_holds, happened
from carillon.audience.fields import contact_holds
from carillon.audience.moment import ConditionError, Moment, Permissions, Predicate, Subject
from carillon.audience.responses import not_responded, responded
from carillon.audience.sets import Rows, among
from carillon.definition.conditions import (
    All,
    AnswerIs,
    AnyOf,
    Condition,
    Consented,
    ContactIs,
    CouponIs,
    EnrolledIn,
    HasEvent,
    InList,
    InSegment,
    Later,
    Not,
    Reachable,
    Responded,
    Sql,
    TriggerIs,
    Where,
)
from carillon.store import tables

_OnStanding = Callable[[sa.FromClause], Predicate]


def where(condition: Condition, subject: Subject, at: Moment) -> Predicate:
    """Does the condition hold of the subject at the moment? Raises ConditionError for what cannot be asked there."""
    return _holds(condition, subject, at, True, ())


def _holds(condition: Condition, subject: Subject, at: Moment, wanted: bool, path: tuple[str, ...]) -> Predicate:
    """TRUE for whom the condition surely is as `wanted`, else FALSE; `path` names the segments that we are inside of."""
    match condition:
        case All(parts):
            return _joined(parts, subject, at, wanted, path, every=wanted)
        case AnyOf(parts):
            return _joined(parts, subject, at, wanted, path, every=not wanted)
        case Not(part):
            return _holds(part, subject, at, not wanted, path)
        case InSegment(name):
            return _holds(_segment(name, at, path), subject, at, wanted, (*path, name))
        case Responded():
            return (responded if wanted else not_responded)(condition, subject, at)
        case _:
            answer = _leaf(condition, subject, at)
            return answer if wanted else sa.not_(answer)


def _joined(
    parts: tuple[Condition, ...], subject: Subject, at: Moment, wanted: bool, path: tuple[str, ...], *, every: bool
) -> Predicate:
    if every:
        asked = _asked_of(parts, subject)
        in_turn = sorted(parts, key=_effort)  # SQLite asks what it must look up in the order in which it is written
        return sa.and_(sa.true(), *(_holds(part, asked(part), at, wanted, path) for part in in_turn))
    return sa.or_(sa.false(), *(_holds(part, subject, at, wanted, path) for part in parts))


def _asked_of(parts: tuple[Condition, ...], subject: Subject) -> Callable[[Condition], Subject]:
    """Of whom each part of a conjunction is asked: what reads whole events only of those whom the other parts leave.

    Among a million people an index look-up for each of the few is a tenth of reading all events of that kind.
    """
    if subject.few or all(_effort(part) for part in parts):
        return lambda part: subject
    rest = replace(subject, few=True)
    return lambda part: rest if _effort(part) else subject


def in_two(condition: Condition) -> tuple[Condition, Condition | None]:
    """What a contact's own row and what is folded can answer, and the rest of a conjunction, which reads events."""
    match condition:
        case All(parts):
            cheap = tuple(part for part in parts if not _effort(part))
            costly = tuple(part for part in parts if _effort(part))
            return (All(cheap), All(costly)) if cheap and costly else (condition, None)
        case _:
            return condition, None


def _effort(part: Condition) -> int:
    """What it takes to ask it of one contact: nothing to speak of, sums over an index, or whole events."""
    match part:
        case Not(inner):
            return _effort(inner)
        case HasEvent():
            return 2 if part.where else int(part.sum is not None)
        case _:
            return 0


def _leaf(
    condition: ContactIs | HasEvent | Reachable | Consented | InList | EnrolledIn | TriggerIs | AnswerIs | CouponIs | Sql | Later,
    subject: Subject,
    at: Moment,
) -> Predicate:  # fmt: skip
    match condition:
        case ContactIs(tests):
            return _contact(tests, subject, at)
        case HasEvent():
            return happened(condition, subject, at)
        case Reachable(channel):
            topic, permissions = _spoken_of(at.topic, channel, at)
            return _standing(
                subject, lambda row: sa.and_(permissions.allowed(row, topic, channel), permissions.open(row, channel))
            )
        case Consented(channel, named):
            topic, permissions = _spoken_of(named or at.topic, channel, at)
            return _standing(subject, lambda row: permissions.allowed(row, topic, channel))
        case InList(name):
            member = tables.list_member.alias()
            return among(Rows(member, member.c.contact_id, (member.c.list == name,)), subject, at)
        case EnrolledIn():
            return _enrolled(condition, subject, at)
        case TriggerIs(tests):
            return _about_key(tests, "trigger", subject, at)
        case AnswerIs(tests):
            return _about_key(tests, "answer", subject, at)
        case Sql(text):
            return analyst_holds(text, subject.contact_id, at.now)
        case CouponIs():
            return coupon_is(condition, subject, at)
        case Later(word):
            raise ConditionError(f"{word} cannot be asked yet: it is not available in this version")
        case _:
            assert_never(condition)


def _segment(name: str, at: Moment, path: tuple[str, ...]) -> Condition:
    if name in path:
        raise ConditionError(f"segments go round in a circle: {' → '.join((*path, name))}")
    if name not in at.segments:
        raise ConditionError(f"no segment is called {name!r}")
    return at.segments[name]


def _contact(tests: Where, subject: Subject, at: Moment) -> Predicate:
    if subject.contact is not None:
        return contact_holds(tests, subject.contact, at)
    contact = tables.contact.alias()
    return among(Rows(contact, contact.c.id, (contact_holds(tests, contact, at),)), subject, at)


def _standing(subject: Subject, holds: _OnStanding) -> Predicate:
    if subject.standing is not None:
        return holds(subject.standing)
    row = tables.standing.alias()
    found = sa.select(sa.literal(1)).where(row.c.contact_id == subject.contact_id, holds(row))
    return sa.exists(found.correlate_except(row))


def _spoken_of(topic: str | None, channel: str, at: Moment) -> tuple[str, Permissions]:
    if at.permissions is None or topic is None:
        raise ConditionError(f"consent for {channel} belongs to a topic: ask it in a campaign, or name the topic")
    return topic, at.permissions


def _enrolled(condition: EnrolledIn, subject: Subject, at: Moment) -> Predicate:
    enrolment, campaign = tables.enrolment.alias(), tables.campaign.alias()
    ids = sa.select(campaign.c.id).where(campaign.c.name.in_(condition.campaigns)).correlate(None)
    if condition.within is None:
        when: Predicate = enrolment.c.state == "live"
    else:
        when = sa.and_(enrolment.c.entered_at > at.ago(condition.within), enrolment.c.entered_at <= at.now)
    return among(Rows(enrolment, enrolment.c.contact_id, (enrolment.c.campaign_id.in_(ids), when)), subject, at)


def _about_key(tests: Where, name: str, subject: Subject, at: Moment) -> Predicate:
    if subject.enrolment is None:
        raise ConditionError(f"{name}: asks about a journey, and a segment has none")
    key = subject.enrolment.c
    return event_holds(tests, key[f"{name}_at"], key[f"{name}_hash"], subject, at)

"""The plain evaluator: one contact's facts, one condition, and the reason for the answer, part by part.

It shares no SQL with `evaluate`, which a property test holds to the same answers on both stores; `explain` shows its
tree. Answers are yes, no, or unknown (None): an open hidden by a proxy, and what hangs on it alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from carillon.audience import bounds
from carillon.audience.facts import CouponFact, EventFact, Facts, SendFact
from carillon.audience.moment import ConditionError, Moment
from carillon.audience.responses import HANDED_OVER
from carillon.audience.values import leaves, say_found, tests_hold
from carillon.audience.words import say, say_within
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
    Span,
    Sql,
    TriggerIs,
    Where,
)
from carillon.kernel.clock import Micros, from_micros


@dataclass(frozen=True, slots=True)
class Trace:
    """One part of a condition: what it asks, the answer (None: cannot be known), what was found, and its own parts."""

    asks: str
    holds: bool | None
    found: str = ""
    parts: tuple[Trace, ...] = ()


def holds(condition: Condition, facts: Facts, at: Moment) -> bool:
    """Does the condition surely hold of this contact? The same as `evaluate.where`."""
    return trace(condition, facts, at).holds is True


def trace(condition: Condition, facts: Facts, at: Moment, path: tuple[str, ...] = ()) -> Trace:
    """The answer with its reasons; raises ConditionError where `evaluate.where` does."""
    match condition:
        case All(parts):
            return _joined(condition, [trace(part, facts, at, path) for part in parts], decided_by=False)
        case AnyOf(parts):
            return _joined(condition, [trace(part, facts, at, path) for part in parts], decided_by=True)
        case Not(part):
            inner = trace(part, facts, at, path)
            return Trace(say(condition), None if inner.holds is None else not inner.holds, parts=(inner,))
        case InSegment(name):
            if name in path:
                raise ConditionError(f"segments go round in a circle: {' → '.join((*path, name))}")
            if name not in at.segments:
                raise ConditionError(f"no segment is called {name!r}")
            inner = trace(at.segments[name], facts, at, (*path, name))
            return Trace(say(condition), inner.holds, parts=(inner,))
        case _:
            answer, found = _leaf(condition, facts, at)
            return Trace(say(condition), answer, found)


def _joined(condition: Condition, parts: list[Trace], *, decided_by: bool) -> Trace:
    answers = [part.holds for part in parts]
    if decided_by in answers:
        answer: bool | None = decided_by
    else:
        answer = None if None in answers else not decided_by
    return Trace(say(condition), answer, parts=tuple(parts))


def _leaf(
    condition: ContactIs | HasEvent | Responded | Reachable | Consented | InList | EnrolledIn | TriggerIs | AnswerIs
    | CouponIs | Sql | Later,
    facts: Facts,
    at: Moment,
) -> tuple[bool | None, str]:  # fmt: skip
    match condition:
        case ContactIs(tests):
            return tests_hold(tests, facts.fields, facts.fields["timezone"], at), say_found(tests, facts.fields)
        case HasEvent():
            return _event(condition, facts, at)
        case Responded():
            return _responded(condition, facts, at)
        case Reachable(channel):
            allowed, is_open = _permitted(channel, at.topic, facts, at), channel in facts.open_channels
            return allowed and is_open, f"consent {_yes(allowed)}, address {_yes(is_open)}"
        case Consented(channel, topic):
            return _permitted(channel, topic or at.topic, facts, at), ""
        case InList(name):
            return name in facts.lists, ""
        case EnrolledIn():
            return _enrolled(condition, facts, at)
        case TriggerIs(tests):
            return _about(tests, "trigger", facts, at)
        case AnswerIs(tests):
            return _about(tests, "answer", facts, at)
        case Sql(text):
            return facts.sql[text], "asked of the store"
        case CouponIs():
            return _coupon(condition, facts, at)
        case Later(word):
            raise ConditionError(f"{word} cannot be asked yet: it is not available in this version")
        case _:
            assert_never(condition)


def _event(condition: HasEvent, facts: Facts, at: Moment) -> tuple[bool, str]:
    found = [event for event in facts.events if _counts(event, condition, facts, at)]
    said = f"{len(found)} {condition.event}{say_within(condition.within)}"
    if found:
        said += f", newest {_day(max(event.at for event in found))}"
    answer = bounds.holds(condition.count, len(found))
    if condition.sum is not None and condition.sum_of is not None:
        total = sum(value for event in found for value in leaves(event.props, condition.sum_of) if _is_number(value))
        answer = answer and bounds.holds(condition.sum, total)
        said += f", {condition.sum_of} {total}"
    return answer, said


def _counts(event: EventFact, condition: HasEvent, facts: Facts, at: Moment) -> bool:
    if event.kind != condition.event or not _in_time(event.at, condition.within, at):
        return False
    if condition.since is not None:
        since = _since(condition.since, facts)
        if since is None or event.at <= since:
            return False
    if condition.same and not _same(event, condition, facts):
        return False
    return tests_hold(condition.where, event.props, facts.fields["timezone"], at)


def _since(since: str, facts: Facts) -> Micros | None:
    if facts.journey is None:
        raise ConditionError(f"since: {since} asks about a journey, and a segment has none")
    return facts.journey.entered_at if since == "entry" else facts.journey.reached.get(since)


def _same(event: EventFact, condition: HasEvent, facts: Facts) -> bool:
    if facts.journey is None:
        raise ConditionError("same: asks about a journey's trigger, and a segment has none")
    trigger = facts.journey.trigger
    return trigger is not None and all(
        any(
            _equal(ours, its) for ours in leaves(event.props, same.field) for its in leaves(trigger, same.trigger_field)
        )
        for same in condition.same
    )


def _equal(ours: object, its: object) -> bool:
    return (isinstance(ours, str) and ours == its) or (_is_number(ours) and _is_number(its) and ours == its)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _responded(condition: Responded, facts: Facts, at: Moment) -> tuple[bool | None, str]:
    spoken_of = [send for send in facts.sends if _is_meant(send, condition, facts, at)]
    known = [_response(send, condition, at) for send in spoken_of]
    yes, hidden = known.count(True), known.count(None)
    answers = {bounds.holds(condition.count, n) for n in range(yes, yes + hidden + 1)}
    said = f"{yes} {condition.what}" + (f", {hidden} hidden by mail proxies" if hidden else "")
    return (answers.pop() if len(answers) == 1 else None), said


def _is_meant(send: SendFact, condition: Responded, facts: Facts, at: Moment) -> bool:
    match condition.of:
        case "any":
            return True
        case "channel":
            return send.channel == condition.name
        case "campaign":
            return send.campaign == condition.name
        case "topic":
            return send.campaign in at.topics.get(condition.name, ())
        case "step" | "message":
            if facts.journey is None:
                raise ConditionError(f"{condition.what}: {condition.name} asks about a journey, and a segment has none")
            steps = (condition.name,) if condition.of == "step" else at.messages.get(condition.name, ())
            return send.enrolment == facts.journey.enrolment and send.campaign == at.campaign and send.step in steps
        case _:
            assert_never(condition.of)


def _response(send: SendFact, condition: Responded, at: Moment) -> bool | None:
    """Does the message count: yes, no, or hidden?"""
    match condition.what:
        case "received":
            bounced = send.bounced_at is not None and send.bounced_at <= at.now
            has_left = send.state in HANDED_OVER
            return has_left and not bounced and _in_time(send.at, condition.within, at)
        case "clicked":
            return _in_time(send.clicked_at, condition.within, at)
        case "opened":
            acts = (send.opened_at, send.clicked_at)
            if any(_in_time(when, condition.within, at) for when in acts):
                return True
            is_by_person = any(_in_time(when, None, at) for when in acts)
            return None if not is_by_person and _in_time(send.machine_opened_at, condition.within, at) else False
        case _:
            assert_never(condition.what)


def _in_time(when: Micros | None, within: Span | None, at: Moment) -> bool:
    return when is not None and when <= at.now and (within is None or when > at.ago(within))


def _permitted(channel: str, topic: str | None, facts: Facts, at: Moment) -> bool:
    if topic is None:
        raise ConditionError(f"consent for {channel} belongs to a topic: ask it in a campaign, or name the topic")
    return (topic, channel) in facts.permitted


def _enrolled(condition: EnrolledIn, facts: Facts, at: Moment) -> tuple[bool, str]:
    enrolments = [found for found in facts.enrolments if found.campaign in condition.campaigns]
    if condition.within is None:
        return any(found.is_live for found in enrolments), f"{_n_live(found.is_live for found in enrolments)} under way"
    entered = [found for found in enrolments if _in_time(found.entered_at, condition.within, at)]
    return bool(entered), f"{len(entered)} entered"


def _coupon(condition: CouponIs, facts: Facts, at: Moment) -> tuple[bool, str]:
    own = facts.journey.enrolment if condition.is_own and facts.journey is not None else None
    held = [c for c in facts.coupons if c.pool == condition.pool and own in (None, c.enrolment)]
    said = ", ".join(f"{c.code} {_state(c, at)}" for c in held)
    return any(_state(c, at) == condition.state for c in held), said or "holds no code"


def _state(coupon: CouponFact, at: Moment) -> str:
    if coupon.redeemed_at is not None and coupon.redeemed_at <= at.now:
        return "redeemed"
    return "expired" if coupon.valid_until is not None and coupon.valid_until <= at.now else "unused"


def _n_live(lives: Iterable[bool]) -> int:
    return sum(lives)


def _about(tests: Where, name: str, facts: Facts, at: Moment) -> tuple[bool, str]:
    if facts.journey is None:
        raise ConditionError(f"{name}: asks about a journey, and a segment has none")
    props = facts.journey.trigger if name == "trigger" else facts.journey.answer
    if props is None:
        return False, f"no {name}"
    return tests_hold(tests, props, facts.fields["timezone"], at), say_found(tests, props)


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _day(at: Micros) -> str:
    return f"{from_micros(at):%Y-%m-%d}"

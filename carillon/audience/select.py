"""Whole audiences: who matches, how many, a few of them; and what could change the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import in_two, where
from carillon.audience.moment import ConditionError, Moment, Subject, of_contact
from carillon.audience.sets import weighs
from carillon.definition.analyst import is_query
from carillon.definition.conditions import (
    Ago,
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
    ThingsTest,
    TriggerIs,
    Where,
    told_of_list,
)
from carillon.store import tables

ORDERED = "order_completed"
"""The event in which a coupon is redeemed."""


def matching(condition: Condition, at: Moment, *only: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    """The ids of all contacts who match, or of those for whom `only` holds; merged and erased ones are nobody."""
    contact = tables.contact
    first, rest = in_two(condition) if weighs(at) else (condition, None)
    found = sa.select(contact.c.id).where(*present(contact), *only, where(first, of_contact(contact), at))
    if rest is None:
        return found
    # OFFSET 0 is a fence: PostgreSQL would sum up the orders of everybody in the country before it asked who opened anything.
    few = found.offset(0).subquery()
    return sa.select(few.c.id).where(where(rest, Subject(few.c.id, few=True), at))


def present(contact: sa.FromClause = tables.contact) -> tuple[sa.ColumnElement[bool], ...]:
    """The contact is there: neither merged into another nor erased."""
    return contact.c.merged_into.is_(None), contact.c.erased_at.is_(None)


def count(connection: Connection, condition: Condition, at: Moment) -> int:
    """How many contacts match."""
    members = matching(condition, at).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(members)).scalar_one()


def sample(connection: Connection, condition: Condition, at: Moment, limit: int) -> list[int]:
    """Some contacts who match, the lowest ids first."""
    # Without a word to the planner PostgreSQL would walk all ids in order, asking the condition one by one.
    members = matching(condition, at).cte().prefix_with("MATERIALIZED", dialect="postgresql")
    return list(connection.scalars(sa.select(members.c.id).order_by(members.c.id).limit(limit)))


def is_folded(connection: Connection) -> bool:
    """Is every intake folded, so that `Moment.folded` may be promised?"""
    new = sa.exists(sa.select(sa.literal(1)).where(tables.intake.c.state == "new"))
    return not connection.execute(sa.select(new)).scalar_one()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What can change the answer to a condition. Empty: only what the condition itself says."""

    events: frozenset[str] = frozenset()
    """Kinds of events."""
    fields: frozenset[str] = frozenset()
    """What is told anew of contacts: their own fields, and lists as `told_of_list`; `*` where an analyst's SQL may read any."""
    time: bool = False
    """It can change with time alone."""
    feedback: bool = False
    """What becomes of sends: hand-overs, opens, clicks, bounces."""
    anywhere: bool = False
    """… of the sends of other campaigns, too."""
    standing: bool = False
    """Consent, addresses, suppression."""
    campaigns: frozenset[str] = frozenset()
    """Entering or leaving one of them."""
    trigger: bool = False
    """The newest event of the enrolment's key, or its answer."""
    coupons: bool = False
    """What becomes of a code, in whoever's order."""

    def __or__(self, other: Dependencies) -> Dependencies:
        return Dependencies(
            self.events | other.events,
            self.fields | other.fields,
            self.time or other.time,
            self.feedback or other.feedback,
            self.anywhere or other.anywhere,
            self.standing or other.standing,
            self.campaigns | other.campaigns,
            self.trigger or other.trigger,
            self.coupons or other.coupons,
        )


def lists_in(*conditions: Condition, segments: Mapping[str, Condition] | None = None) -> frozenset[str]:
    """The imported lists that any of the conditions names."""
    asked = (leaf for condition in conditions for leaf in _leaves(condition, segments or {}, ()))
    return frozenset(leaf.name for leaf in asked if isinstance(leaf, InList))


def sql_in(*conditions: Condition, segments: Mapping[str, Condition] | None = None) -> tuple[Sql, ...]:
    """The analysts' questions in any of the conditions, each once."""
    asked = (leaf for condition in conditions for leaf in _leaves(condition, segments or {}, ()))
    return tuple(dict.fromkeys(leaf for leaf in asked if isinstance(leaf, Sql)))


def depends_on(condition: Condition, segments: Mapping[str, Condition] | None = None) -> Dependencies:
    """What can change the answer; an applied plan has its segments inlined and needs none given."""
    found = Dependencies()
    for leaf in _leaves(condition, segments or {}, ()):
        found |= _of_leaf(leaf)
    return found


def _leaves(condition: Condition, segments: Mapping[str, Condition], path: tuple[str, ...]) -> Iterator[Condition]:
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _leaves(part, segments, path)
        case Not(part):
            yield from _leaves(part, segments, path)
        case InSegment(name):
            if name in path or name not in segments:
                raise ConditionError(f"segment {name} is unknown here, or goes round in a circle")
            yield from _leaves(segments[name], segments, (*path, name))
        case _:
            yield condition


def _of_leaf(condition: Condition) -> Dependencies:
    match condition:
        case ContactIs(tests):
            zone = {"timezone"} if _moves(tests) else set()
            return Dependencies(fields=frozenset({test.field for test in tests} | zone), time=_moves(tests))
        case HasEvent(event, within):
            own = frozenset({event})
            return Dependencies(
                events=own, time=within is not None or _moves(condition.where), trigger=bool(condition.same)
            )
        case Responded(of=of, within=within):
            return Dependencies(feedback=True, anywhere=of not in ("step", "message"), time=within is not None)
        case Reachable() | Consented():
            return Dependencies(standing=True)
        case InList(name):
            return Dependencies(fields=frozenset({told_of_list(name)}))
        case EnrolledIn(campaigns, within):
            return Dependencies(campaigns=frozenset(campaigns), time=within is not None)
        case TriggerIs(tests) | AnswerIs(tests):
            return Dependencies(trigger=True, time=_moves(tests))
        case Sql(text):
            return Dependencies(fields=frozenset({"*"}), time=is_query(text))  # a query may read what tells nobody
        case CouponIs():  # it may stand in the order of somebody else, and be given by another campaign
            return Dependencies(events=frozenset({ORDERED}), time=True, coupons=True)
        case Later():
            raise ConditionError(f"{condition.kind} cannot be asked yet: it is not available in this version")
        case _:
            return Dependencies()


def _moves(tests: Where) -> bool:
    """Does an answer change as time goes by?"""
    return any(
        _moves(test.tests) if isinstance(test, ThingsTest) else isinstance(test.value, Span | Ago) for test in tests
    )


def segments_in(name: str, segments: Mapping[str, Condition]) -> frozenset[str]:
    """The segments that a segment names, at any depth."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        inner = _named(segments[following]) - found if (following := waiting.pop()) in segments else set()
        found |= inner
        waiting += inner
    return frozenset(found)


def _named(condition: Condition) -> set[str]:
    match condition:
        case All(parts) | AnyOf(parts):
            return {name for part in parts for name in _named(part)}
        case Not(part):
            return _named(part)
        case InSegment(name):
            return {name}
        case _:
            return set()

"""`event: X` and its modifiers as SQL: who did it how often, or for how much."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from carillon.audience import bounds
from carillon.audience.fields import asks_clock, props_hold
from carillon.audience.moment import ConditionError, Expression, Moment, Predicate, Subject
from carillon.audience.sets import Rows, among
from carillon.audience.since import counted_from
from carillon.definition.conditions import HasEvent, Same, Where
from carillon.store import tables
from carillon.store.by_contact import props_of
from carillon.store.json import Document, any_thing, number_at, text_at

_OnLeaf = Callable[[Document, str], Predicate]


def happened(condition: HasEvent, subject: Subject, at: Moment) -> Predicate:
    """Did it happen as often, or for as much, as the condition wants? Never NULL."""
    if not condition.sum and bounds.is_any(condition.count):
        return among(_once(condition, subject, at), subject, at)
    if not condition.sum and bounds.is_none(condition.count):
        return sa.not_(among(_once(condition, subject, at), subject, at))
    rows = rows_of(condition, subject, at)
    event = rows.inner[0]
    amount = event.c.value_cents if _is_money(condition, at) else _amount(condition, _props(event, at))
    group = _group(condition, amount)
    if _holds_for_nothing(condition):
        return sa.not_(among(rows.having(sa.not_(group)), subject, at))
    return among(rows.having(group), subject, at)


def event_holds(tests: Where, key_at: Expression, key_hash: Expression, subject: Subject, at: Moment) -> Predicate:
    """Do all tests hold of the event with this key (the trigger, the answer)? FALSE where there is none."""
    event = tables.event.alias()
    query = sa.select(sa.literal(1)).select_from(event).where(event.c.occurred_at == key_at, event.c.hash64 == key_hash)
    zone = None
    if asks_clock(tests):
        zone = zone_of(subject.contact_id)
    return sa.exists(query.where(props_hold(tests, event.c.props, zone, at)).correlate_except(event))


def zone_of(contact_id: Expression) -> Expression:
    """The zone of a contact, looked up."""
    contact = tables.contact.alias()
    return sa.select(contact.c.zone).where(contact.c.id == contact_id).correlate_except(contact).scalar_subquery()


def _once(condition: HasEvent, subject: Subject, at: Moment) -> Rows:
    """Rows that are there for whoever did it at least once."""
    is_bare = not (condition.where or condition.same or condition.since) and subject.until is None
    if not at.folded or not is_bare or _is_feedback(condition.event):
        return rows_of(condition, subject, at)
    stat = tables.contact_stat.alias()
    known: Predicate = stat.c.first_at <= at.now
    if condition.within:
        # A virtual clock may stand before the newest event: then only the events themselves know the newest by then.
        events = rows_of(condition, Subject(stat.c.contact_id, few=True), at)
        by_then = among(events, Subject(stat.c.contact_id, few=True), at)
        known = sa.and_(stat.c.last_at > at.ago(condition.within), sa.or_(stat.c.last_at <= at.now, by_then))
    return Rows(stat, stat.c.contact_id, (stat.c.kind == condition.event, known), inner=(stat,))


def rows_of(condition: HasEvent, subject: Subject, at: Moment) -> Rows:
    """The events that count, by contact; the first of `inner` is the event."""
    correlated = bool(condition.since or condition.same) or subject.until is not None
    is_of_all = not subject.few and not correlated
    # Of a whole audience some weeks lie together in `event`, and so do the properties of events without money.
    event = (tables.event if is_of_all and (condition.within or condition.where) else tables.contact_event).alias()
    source: sa.FromClause = event
    inner: list[sa.FromClause] = [event]
    where: list[Predicate] = [event.c.kind == condition.event, event.c.occurred_at <= at.now]
    if condition.within:
        where.append(event.c.occurred_at > at.ago(condition.within))
    if subject.until is not None:
        where.append(event.c.occurred_at <= subject.until)
    if condition.since:
        where.append(event.c.occurred_at > counted_from(condition.since, subject, at))
    zone: Expression | None = None
    if asks_clock(condition.where):
        contact = tables.contact.alias()
        source, zone = source.join(contact, contact.c.id == event.c.contact_id), contact.c.zone
        inner.append(contact)
    if condition.where:
        where.append(props_hold(condition.where, _props(event, at), zone, at))
    if condition.same:
        trigger = tables.event.alias()
        source = source.join(trigger, _is_trigger(trigger, subject))
        inner.append(trigger)
        where += [is_same(_props(event, at), trigger.c.props, same) for same in condition.same]
    return Rows(source, event.c.contact_id, tuple(where), inner=tuple(inner), correlated=correlated)


def _props(event: sa.FromClause, at: Moment) -> Document:
    return event.c.props if "intake_id" in event.c else props_of(event, at.dialect)


def _is_trigger(trigger: sa.FromClause, subject: Subject) -> Predicate:
    if subject.enrolment is None:
        raise ConditionError("same: asks about a journey's trigger, and a segment has none")
    key = subject.enrolment.c
    return sa.and_(trigger.c.occurred_at == key.trigger_at, trigger.c.hash64 == key.trigger_hash)


def is_same(event: Document, trigger: Document, same: Same) -> Predicate:
    """Is the event about what the trigger was about? Of a list of things one line suffices, on either side."""
    return _some(
        event,
        same.field,
        lambda ours, here: _some(trigger, same.trigger_field, lambda its, there: _same_value(ours, here, its, there)),
    )


def _some(document: Document, field: str, holds: _OnLeaf) -> Predicate:
    """Does a leaf fulfil it: the field itself, or with `products.product_id` that of some line?"""
    *things, leaf = field.split(".")
    if not things:
        return holds(document, leaf)
    return any_thing(document, tuple(things), lambda line: holds(line, leaf))


def _same_value(ours: Document, here: str, its: Document, there: str) -> Predicate:
    return sa.or_(
        text_at(ours, (here,)) == text_at(its, (there,)), number_at(ours, (here,)) == number_at(its, (there,))
    )


def _is_money(condition: HasEvent, at: Moment) -> bool:
    """Is what is added up the event's own money, which stands in an index beside the contact?"""
    return condition.sum_of is not None and at.money.get(condition.event) == condition.sum_of


def _amount(condition: HasEvent, props: Document) -> Expression:
    # Doubles add whole cents exactly up to 2^53, and a plain number as Python does.
    return number_at(props, tuple((condition.sum_of or "").split(".")))


def _group(condition: HasEvent, amount: Expression) -> Predicate:
    """The demand on a contact's events together."""
    count = bounds.within(condition.count, sa.func.count())
    if condition.sum is None:
        return count
    return sa.and_(count, bounds.within(condition.sum, sa.func.coalesce(sa.func.sum(amount), 0)))


def _holds_for_nothing(condition: HasEvent) -> bool:
    return bounds.holds(condition.count, 0) and (condition.sum is None or bounds.holds(condition.sum, 0))


def _is_feedback(kind: str) -> bool:
    return kind.startswith("message.")  # these are folded into `response`, not into `contact_stat`

"""What an enrolment collected: its triggers, newest first, distinct, at most so many (`collect`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import Moment, Subject
from carillon.definition.conditions import TriggerIs
from carillon.definition.entries import OnEvent, entry_key
from carillon.delivery.columns import Columns
from carillon.messages.columns import JsonColumn
from carillon.plan.model import Plan
from carillon.store.by_contact import same_event
from carillon.store.json import has_at, json_at, text_at
from carillon.store.tables import contact_event, enrolment, event, send, wave

COLLECTED = "trigger.collected"


def bundles_of(plan: Plan) -> tuple[OnEvent, ...]:
    """The entries of a campaign that collect."""
    return tuple(entry for entry in plan.entries if isinstance(entry, OnEvent) and entry.collect is not None)


def with_collected(
    connection: Connection, columns: dict[int, Columns], bundles: Sequence[OnEvent], moment: Moment
) -> dict[int, Columns]:
    """The columns of these batches, of one campaign, with what each enrolment has collected."""
    found: dict[int, list[str]] = {}
    for entry in bundles:
        for enrolment_id, text in connection.execute(_select(entry, list(columns), moment)):
            found.setdefault(enrolment_id, []).append(text)
    return {batch_id: _added(its, found) for batch_id, its in columns.items()}


def _added(columns: Columns, found: dict[int, list[str]]) -> Columns:
    texts = [f"[{','.join(found.get(enrolment_id, ()))}]" for enrolment_id in columns.enrolments]
    return Columns(columns.enrolments, columns.addresses, {**columns.values, COLLECTED: JsonColumn(texts)})


def _select(entry: OnEvent, batch_ids: Sequence[int], moment: Moment) -> sa.Select[Any]:
    """(enrolment, the fields of one trigger) for everybody in these batches whom this entry took in."""
    own, ev, e = contact_event.c, event.c, enrolment.c
    people = (
        sa.select(
            e.id.label("enrolment_id"),
            ev.contact_id,
            ev.occurred_at.label("trigger_at"),
            ev.hash64.label("trigger_hash"),
            ev.props,
        )
        .join_from(send, enrolment, e.id == send.c.enrolment_id)
        .join(wave, wave.c.id == e.wave_id)
        .join(
            contact_event,
            sa.and_(
                own.contact_id == e.contact_id,
                own.kind == entry.event,
                own.occurred_at >= e.collected_from,
                own.occurred_at <= e.trigger_at,
            ),
        )
        .join(event, same_event(contact_event, event))
        .where(send.c.batch_id.in_(batch_ids), send.c.outcome.is_(None), wave.c.entry == entry_key(entry))
    )
    if entry.once_per is not None:
        people = people.where(sa.func.coalesce(text_at(ev.props, (entry.once_per,)), "") == e.thing)
    return newest_of(entry, people, moment)


def newest_of(entry: OnEvent, triggers: sa.Select[Any], moment: Moment) -> sa.Select[Any]:
    """(enrolment, fields) of the triggers that fit, in the order in which a message reads them.

    `triggers` has enrolment_id, contact_id, trigger_at, trigger_hash and props.
    """
    assert entry.collect is not None
    told = triggers.subquery("told")
    of, newest_first = entry.collect.of, [told.c.trigger_at.desc(), told.c.trigger_hash.desc()]
    same = [told.c.trigger_at, told.c.trigger_hash] if of is None else [json_at(told.c.props, (of,))]
    fitting = sa.select(
        told,
        sa.func.row_number().over(partition_by=[told.c.enrolment_id, *same], order_by=newest_first).label("again"),
    )
    if entry.where:
        subject = Subject(told.c.contact_id, enrolment=told, few=True)
        fitting = fitting.where(where(TriggerIs(entry.where), subject, moment))
    if of is not None:
        fitting = fitting.where(has_at(told.c.props, (of,)))
    once = fitting.subquery("once")
    order = [once.c.trigger_at.desc(), once.c.trigger_hash.desc()]
    place = sa.func.row_number().over(partition_by=once.c.enrolment_id, order_by=order).label("place")
    placed = sa.select(once.c.enrolment_id, once.c.props, place).where(once.c.again == 1).subquery("placed")
    asked = sa.select(placed.c.enrolment_id, sa.cast(placed.c.props, sa.Text))
    if entry.collect.most is not None:
        asked = asked.where(placed.c.place <= entry.collect.most)
    return asked.order_by(placed.c.enrolment_id, placed.c.place)

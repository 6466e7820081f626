"""`set`, `unsubscribe`, `enter`: what is done to those who stand at the step, the holdout aside.

What is written to core comes first, keyed by node and enrolment, then the passage: an advance that was killed between the
two writes nothing twice, and overwrites nothing that was told in the meantime.
"""

from __future__ import annotations

from typing import Any, assert_never

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import of_contact
from carillon.consent.record import Said, record_consents
from carillon.definition.entries import ByApi
from carillon.definition.model import EnterCampaign, SetFields, Unsubscribe
from carillon.journey.ground import Ground, load_ground
from carillon.journey.take_in import Wave, out_of_season, take_in
from carillon.kernel.durations import Span
from carillon.people.contacts import CONTACTS_TURN, as_text
from carillon.plan.model import ActNode
from carillon.plan.permissions import standing_rules
from carillon.store import tables as t
from carillon.store.json import json_at, merged, text_at
from carillon.store.writing import take_turn

DONE, SPARED, REFUSED = "done", "held", "not running"
"""The branch of those to whom it was done, of the holdout, and of those whom the other campaign could not take in."""

SLICE = 10_000
"""Consents recorded in one transaction."""

_A_DAY = Span(seconds=86_400)


def branch_of_act(node: ActNode, target: Ground | None) -> sa.ColumnElement[Any]:
    """How those who stand here go on."""
    done = REFUSED if isinstance(node.act, EnterCampaign) and target is None else DONE
    return sa.case((t.enrolment.c.role == "treated", done), else_=SPARED)


def write_core(ground: Ground, here: sa.ColumnElement[bool], node: ActNode) -> None:
    """What the step changes about its people, once a (node, enrolment)."""
    node_id, at_hand = ground.applied.nodes[node.id], sa.and_(here, t.enrolment.c.role == "treated")
    match node.act:
        case SetFields() as act:
            with ground.store.write("core") as connection:
                _set_fields(connection, ground, at_hand, node_id, act)
        case Unsubscribe() as act:
            _end_consents(ground, at_hand, node, act)
        case EnterCampaign():
            pass
        case _:
            assert_never(node.act)


def _set_fields(
    connection: Connection, ground: Ground, here: sa.ColumnElement[bool], node_id: int, act: SetFields
) -> None:
    take_turn(connection, CONTACTS_TURN)
    e, c, change = t.enrolment.c, t.contact.c, t.contact_change.c
    before = connection.scalar(sa.select(sa.func.max(change.id))) or 0
    source = sa.literal(f"campaign:{node_id}:").concat(sa.cast(e.id, sa.String))
    known = sa.exists().where(change.contact_id == e.contact_id, change.source == source)
    # Told anew or not: a row is written for each field, which is the evidence and the key.
    undone = sa.select(e.contact_id, source.label("source")).where(here, sa.not_(known))
    people = undone.order_by(e.id).cte("people")
    for number, (field, value) in enumerate(act.values):
        if number:  # the first field's rows are the key: the others go to whom it was written for
            told = sa.select(change.contact_id, change.source).where(
                change.id > before, change.field == act.values[0][0]
            )
            people = told.cte("people")
        old = sa.func.coalesce(text_at(c.attrs, (field,)), sa.func.nullif(json_at(c.attrs, (field,)), "null"))
        rows = sa.select(
            people.c.contact_id, sa.literal(ground.now, sa.BigInteger()), sa.literal(field), old,
            sa.literal(as_text(value)), people.c.source,
        ).join_from(people, t.contact, c.id == people.c.contact_id)  # fmt: skip
        names = ["contact_id", "at", "field", "old", "new", "source"]
        connection.execute(t.contact_change.insert().from_select(names, rows))
    touched = sa.select(change.contact_id).where(change.id > before)
    fields = orjson.dumps(dict(act.values)).decode()
    connection.execute(t.contact.update().where(c.id.in_(touched)).values(attrs=merged(c.attrs, fields)))


def _end_consents(ground: Ground, here: sa.ColumnElement[bool], node: ActNode, act: Unsubscribe) -> None:
    """A no as of each person's arrival: the same word at the same instant is the same row, however often it is said."""
    e, rule = t.enrolment.c, ground.rules.topics.get(act.topic)
    named = tuple(rule.consent) if rule is not None and rule.consent else ("email", "sms")
    channels = named if act.channel is None else (str(act.channel),)
    with ground.store.read() as connection:
        people = connection.execute(sa.select(e.id, e.contact_id, e.due_at).where(here).order_by(e.id)).all()
    for start in range(0, len(people), SLICE):
        said = [
            Said(p.contact_id, act.topic, channel, "no", "campaign", _evidence(ground, node, act, p.id), p.due_at)
            for p in people[start : start + SLICE]
            for channel in channels
        ]
        with ground.store.write("core") as connection:
            record_consents(connection, standing_rules(ground.rules), said)


def _evidence(ground: Ground, node: ActNode, act: Unsubscribe, enrolment_id: int) -> str:
    why = f": {act.reason}" if act.reason else ""
    return f"{ground.applied.name}/{node.id}, enrolment {enrolment_id}{why}"


def target_of(ground: Ground, node: ActNode) -> Ground | None:
    """The campaign that `enter` names as it stands in the store; None where it takes nobody in."""
    if not isinstance(node.act, EnterCampaign):
        return None
    try:
        target = load_ground(ground.store, node.act.campaign, ground.now)
    except LookupError:
        return None
    takes_in = target.applied.wanted_state == "live" and target.applied.operator_state != "stopped"
    return target if takes_in and out_of_season(target) is None else None


def enter_target(connection: Connection, target: Ground, here: sa.ColumnElement[bool], node_id: int) -> None:
    """One wave of those who stand here and may enter the other campaign, in the transaction in which they go on."""
    e, s, c = t.enrolment.c, t.standing.c, t.contact.c
    mine = sa.and_(here, e.role == "treated")
    first = connection.scalar(sa.select(sa.func.min(e.id)).where(mine))
    if first is None:
        return
    place = sa.func.row_number().over(partition_by=e.contact_id, order_by=[e.due_at, e.id]).label("place")
    asked = (
        sa.select(
            e.contact_id, e.due_at.label("arrived_at"), sa.literal("").label("thing"), e.trigger_at, e.trigger_hash,
            s.zone, s.h31, place,
        )
        .join_from(t.enrolment, t.contact, c.id == e.contact_id)
        .join(t.standing, s.contact_id == e.contact_id)
        .where(mine, where(target.applied.plan.audience, of_contact(few=True), target.moment))
        .subquery("asked")
    )  # fmt: skip
    people = sa.select(*(column for column in asked.c if column.name != "place")).where(asked.c.place == 1)
    own = target.applied.plan.entries
    again = next((entry.again for entry in own if isinstance(entry, ByApi)), own[0].again)
    take_in(connection, target, Wave(ByApi(_A_DAY, again), f"{node_id}+{first}", target.now), [people])

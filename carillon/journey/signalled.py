"""Entries by what was told since the last look: the shop's events, and its calls."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.moment import Subject
from carillon.definition.conditions import TriggerIs
from carillon.definition.entries import ByApi, OnEvent
from carillon.journey import cursor
from carillon.journey.ground import Ground
from carillon.journey.ripen import hold_ahead, take_ripe
from carillon.journey.take_in import Entered, Wave, take_in
from carillon.journey.told import consumer_of, renew_triggers, told
from carillon.kernel.clock import SECOND


def enter_signalled(ground: Ground, entry: OnEvent | ByApi) -> list[Entered]:
    """Take in whom the signals since the last look name, each at once; what is stamped ahead of us when its time comes."""
    entered = []
    with ground.store.write("ledger") as connection:
        consumer = consumer_of(ground, entry)
        low, high = cursor.span(connection, consumer)
        if low < high:
            people = _signalled(ground, entry, low, high)
            if connection.scalar(sa.select(sa.exists(people))):
                renew_triggers(connection, ground, people.subquery("newer"))
                if entry.again not in ("always", "once_a_thing"):
                    people = _signalled(ground, entry, low, high, once_a_person=True)
                entered.append(take_in(connection, ground, Wave(entry, f"{low}-{high}", ground.now), [people]))
            if isinstance(entry, OnEvent):
                hold_ahead(connection, ground, entry, low, high)
            cursor.advance(connection, consumer, high)
        if isinstance(entry, OnEvent):
            entered += take_ripe(connection, ground, entry, high)
    return entered


def _signalled(
    ground: Ground, entry: OnEvent | ByApi, low: int, high: int, *, once_a_person: bool = False
) -> sa.Select[Any]:
    """Candidates named by signals: the newest trigger of each contact and thing, after the first apply and not too late.

    `once_a_person` takes the newest of each contact: two things that come at once are two entries of the same person.
    """
    in_time = ground.now - entry.if_late.seconds * SECOND
    heard = told(ground, entry, low, high, since=in_time - 1, until=ground.now).subquery("told")
    trigger = Subject(heard.c.contact_id, enrolment=heard, few=True)
    same = [heard.c.contact_id] if once_a_person else [heard.c.contact_id, heard.c.thing]
    place = sa.func.row_number().over(
        partition_by=same, order_by=[heard.c.happened_at.desc(), heard.c.signal_id.desc()]
    )
    ranked = (
        sa.select(*(c for c in heard.c if c.name not in ("signal_id", "happened_at")), place.label("place"))
        .where(where(ground.applied.plan.audience, trigger, ground.moment))
        .where(where(TriggerIs(entry.where), trigger, ground.moment) if isinstance(entry, OnEvent) else sa.true())
        .subquery("ranked")
    )
    return sa.select(*(c for c in ranked.c if c.name != "place")).where(ranked.c.place == 1)

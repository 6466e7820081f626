"""Who a token speaks of, and what they have said so far: read for pages, written by the preference page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from carillon.consent.record import Said, State, newest, record_consents
from carillon.definition.confirming import asked_for
from carillon.kernel.clock import Micros
from carillon.kernel.tokens import Token
from carillon.plan.permissions import standing_rules
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.engine import Store

SOURCE = "preferences"


@dataclass(frozen=True, slots=True)
class Addressee:
    """The contact of one send, and what that send was about."""

    contact_id: int
    language: str
    topic: str
    channel: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the preference page."""

    topic: str
    channel: str
    allowed: bool


def addressee(store: Store, token: Token) -> Addressee | None:
    """Whom the send went to, or None where there is no such send."""
    with store.read() as connection:
        row = connection.execute(
            sa.select(t.enrolment.c.contact_id, t.standing.c.language, t.version.c.plan_json, t.send.c.channel)
            .join_from(t.send, t.enrolment, t.enrolment.c.id == t.send.c.enrolment_id)
            .join(t.version, t.version.c.id == t.enrolment.c.version_id)
            .outerjoin(t.standing, t.standing.c.contact_id == t.enrolment.c.contact_id)
            .where(t.send.c.node_id == token.node, t.send.c.enrolment_id == token.enrolment)
        ).first()
    if row is None:
        return None
    return Addressee(row.contact_id, row.language or "", asked_for(json.loads(row.plan_json)["topic"]), row.channel)


def choices(store: Store, rules: Rules, contact_id: int) -> list[Choice]:
    """Each marketing topic on each of its channels, and whether the contact gets it at present."""
    with store.read() as connection:
        said = newest(connection, [contact_id])
    return [
        Choice(topic.name, channel, _allowed(said.get((contact_id, topic.name, channel)), kind))
        for topic in rules.topics.values()
        if topic.marketing
        for channel, kind in topic.consent.items()
    ]


def _allowed(state: str | None, kind: str) -> bool:
    return kind == "assumed" if state is None else state in ("yes", "confirmed")


def choose(
    store: Store, rules: Rules, who: Addressee, wanted: Mapping[tuple[str, str], bool], *, evidence: str, at: Micros
) -> int:
    """Record what the contact wants where it differs from what they have said; returns how many consents were written."""
    before = {(c.topic, c.channel): c.allowed for c in choices(store, rules, who.contact_id)}
    with store.write("core") as connection:
        said = newest(connection, [who.contact_id])
        rows = []
        for (topic, channel), yes in wanted.items():
            state = _state(rules, who, topic, channel, yes)
            stands = said.get((who.contact_id, topic, channel))
            is_second_yes = (stands, state) == ("yes", "confirmed")
            if (topic, channel) in before and (before[topic, channel] != yes or stands is None or is_second_yes):
                rows.append(Said(who.contact_id, topic, channel, state, SOURCE, evidence, at))
        return record_consents(connection, standing_rules(rules), rows)


def _state(rules: Rules, who: Addressee, topic: str, channel: str, yes: bool) -> State:
    if not yes:
        return "no"
    # Who follows a link that only this mailbox or telephone got has confirmed it; for another channel it is a yes.
    needs_two = rules.topics[topic].consent.get(channel) == "double"
    return "confirmed" if needs_two and channel == who.channel else "yes"

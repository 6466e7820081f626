"""Effects on core: what feedback says about addresses and consent, taken over once, in the order of the signals.

The cursor moves in the transaction of the effect, and `standing` is folded in it, so after a crash nothing is done
twice and policy is never behind. Repeating an effect would change nothing either: consents carry the event's own instant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.consent.record import Said, State, record_consents
from carillon.consent.standing import StandingRules
from carillon.consent.suppression import Suppressed, holders, lift, suppress
from carillon.definition.confirming import asked_for
from carillon.feedback.adopt import adopt_orphans
from carillon.feedback.halts import apply_halts
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from carillon.plan.permissions import standing_rules
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.bulk import many
from carillon.store.engine import Store
from carillon.store.writing import take_turn

CONSUMER = "effects"
SLICE = 10_000
SOURCE = "feedback"
"""`consent.source` of what came back from a send; a START takes back exactly what has this source."""
_KINDS = ("suppress", "withdraw", "restore")
_LOCK = 0x6361_6666


@dataclass(frozen=True, slots=True)
class Effects:
    """What was taken over: addresses newly suppressed, consent rows newly written, orphaned events that found their contact."""

    suppressed: int = 0
    consents: int = 0
    adopted: int = 0

    def __add__(self, other: Effects) -> Effects:
        return Effects(self.suppressed + other.suppressed, self.consents + other.consents, self.adopted + other.adopted)


def apply_effects(store: Store, now: Micros, rules: Rules) -> Effects:
    """Suppress, withdraw and restore what the folded signals ask for; give orphaned events to contacts who came since.

    A connector whose sender is reported dead is held with it.
    """
    apply_halts(store)
    total = Effects(adopted=adopt_orphans(store, now))
    while True:
        with store.read() as connection:
            low, high = _cursor(connection), connection.scalar(sa.select(sa.func.max(t.signal.c.id))) or 0
        if high <= low:
            return total
        total += _apply_slice(store, now, standing_rules(rules), rules)


def _apply_slice(store: Store, now: Micros, standing: StandingRules, rules: Rules) -> Effects:
    with store.write("core") as connection:
        take_turn(connection, _LOCK)
        low = _cursor(connection)
        found = connection.execute(
            sa.select(t.signal)
            .where(t.signal.c.id > low, t.signal.c.kind.in_(_KINDS))
            .order_by(t.signal.c.id)
            .limit(SLICE)
        ).all()
        high = found[-1].id if len(found) == SLICE else connection.scalar(sa.select(sa.func.max(t.signal.c.id))) or low
        suppressed = _suppress(connection, standing, found)
        consents = _withdraw(connection, standing, rules, [s for s in found if s.kind == "withdraw"])
        consents += _restore(connection, standing, rules, [s for s in found if s.kind == "restore"])
        _move_cursor(connection, low, high)
        return Effects(suppressed, consents)


def _suppress(connection: Connection, standing: StandingRules, found: Sequence[Any]) -> int:
    addresses = [Suppressed(s.subject, s.thing, s.reason, s.event_at) for s in found if s.kind == "suppress"]
    # The owner of a number said STOP, whoever is listed under it now or later.
    addresses += [Suppressed(s.thing, s.subject, "stop", s.event_at) for s in found if _is_stop(s)]
    return suppress(connection, standing, addresses) if addresses else 0


def _is_stop(signal: Any) -> bool:
    return signal.kind == "withdraw" and signal.node_id is None and signal.subject == Channel.SMS and signal.thing != ""


def _withdraw(connection: Connection, standing: StandingRules, rules: Rules, found: Sequence[Any]) -> int:
    topics = _topics_of(connection, found)
    said = []
    for signal in found:
        topic = topics.get(signal.enrolment_id)
        names = [asked_for(topic)] if topic else _all_topics(rules, signal.subject)
        said += [
            Said(contact, name, signal.subject, "no", SOURCE, _evidence(signal), signal.event_at)
            for contact in _people(connection, signal)
            for name in names
        ]
    return record_consents(connection, standing, said)


def _all_topics(rules: Rules, channel: str) -> list[str]:
    # Without a send nobody knows the topic: then it is all of that channel; on SMS the law means all of it.
    own = {name: rule for name, rule in rules.topics.items() if rule.asks_for is None}
    return [name for name, rule in own.items() if rule.marketing or channel == Channel.SMS]


def _restore(connection: Connection, standing: StandingRules, rules: Rules, found: Sequence[Any]) -> int:
    """Take back the withdrawals that came as feedback: START answers STOP, and nothing else."""
    said = []
    for signal in found:
        people = _people(connection, signal)
        for contact, topic, state in _before_stop(connection, rules, people, signal.subject):
            said.append(Said(contact, topic, signal.subject, state, SOURCE, _evidence(signal), signal.event_at))
        if signal.thing:
            stopped = connection.scalar(
                sa.select(t.suppression.c.address_key).where(
                    t.suppression.c.address_key == signal.thing,
                    t.suppression.c.reason == "stop",
                    t.suppression.c.at <= signal.event_at,
                )
            )
            lift(connection, standing, [stopped] if stopped else [], at=signal.event_at)
    return record_consents(connection, standing, said)


def _before_stop(
    connection: Connection, rules: Rules, people: Iterable[int], channel: str
) -> Iterator[tuple[int, str, State]]:
    """(contact, topic, what stood) of each whose newest word is a STOP: it was of all topics, also those never asked for."""
    c = t.consent.c
    spoken = (
        sa.select(c.contact_id, c.topic, c.state, c.source)
        .where(c.contact_id.in_(many(people)), c.channel == channel)
        .order_by(c.contact_id, c.topic, c.at.desc(), c.id.desc())
    )
    for (contact, topic), words in groupby(connection.execute(spoken), key=lambda row: (row.contact_id, row.topic)):
        newest_first = list(words)
        before = list(dropwhile(lambda word: word.state == "no" and word.source == SOURCE, newest_first))
        if len(before) == len(newest_first):
            continue
        rule = rules.topics.get(topic)
        needs_a_yes = rule is None or (rule.marketing and rule.consent.get(channel) != "assumed")
        stood: State = before[0].state if before else "no" if needs_a_yes else "yes"
        if stood != "no":
            yield contact, topic, stood


def _people(connection: Connection, signal: Any) -> set[int]:
    """Who spoke: the contact of the send; without a send everybody listed under the address."""
    people = {signal.contact_id} if signal.contact_id is not None else set()
    if signal.node_id is None and signal.thing:
        people |= set(holders(connection, [signal.thing]))
    return people


def _topics_of(connection: Connection, found: Sequence[Any]) -> dict[int, str]:
    """Enrolment → the topic of the version that it is on."""
    enrolments = {s.enrolment_id for s in found if s.enrolment_id is not None}
    if not enrolments:
        return {}
    rows = connection.execute(
        sa.select(t.enrolment.c.id, t.enrolment.c.version_id).where(t.enrolment.c.id.in_(many(enrolments)))
    ).all()
    versions = connection.execute(
        sa.select(t.version.c.id, t.version.c.plan_json).where(t.version.c.id.in_(many({v for _, v in rows})))
    )
    topic = {version: json.loads(plan)["topic"] for version, plan in versions}
    return {enrolment: topic[version] for enrolment, version in rows if version in topic}


def _evidence(signal: Any) -> str:
    send = f"send {signal.node_id}/{signal.enrolment_id}" if signal.node_id is not None else f"by {signal.thing}"
    return f"event {signal.event_at}/{signal.event_hash}, {send}"


def _cursor(connection: Connection) -> int:
    return connection.scalar(sa.select(t.core_cursor.c.signal_id).where(t.core_cursor.c.consumer == CONSUMER)) or 0


def _move_cursor(connection: Connection, low: int, high: int) -> None:
    connection.execute(
        sa.text(
            """INSERT INTO core.cursor (consumer, signal_id) VALUES (:consumer, :high)
               ON CONFLICT (consumer) DO UPDATE SET signal_id = excluded.signal_id"""
        ),
        {"consumer": CONSUMER, "high": max(low, high)},
    )

"""The second yes: what the link of a confirmation asks for, whether it still may, and the record when it is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.consent.record import Said, history, is_confirmed, is_pending, record_consents
from carillon.definition.confirming import LINK_LASTS, asked_for, is_confirmation
from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.tokens import Token
from carillon.plan.permissions import standing_rules
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.engine import Store

SOURCE = "confirmation"

State = Literal["asks", "confirmed", "lapsed"]
"""`lapsed`: too late, or they have said no since, or have another address: another sign-up brings another link."""

_CHANGES = {"email": "email", "sms": "phone"}


@dataclass(frozen=True, slots=True)
class Question:
    """What a link asks its reader."""

    contact_id: int
    language: str
    topic: str
    channel: str
    state: State
    sent_at: Micros
    address: str
    wording: str
    """The content that was sent, by its hash."""


def question(store: Store, token: Token, now: Micros) -> Question | None:
    """What the link asks, or None where it belongs to no message that asks for a second yes."""
    with store.read() as connection:
        return _question(connection, token, now)


def confirm(store: Store, rules: Rules, token: Token, *, caller: str, at: Micros) -> Question | None:
    """Record the second yes where the link still asks for it; returns what it asked before."""
    with store.write("core") as connection:
        asked = _question(connection, token, at)
        if asked is not None and asked.state == "asks":
            evidence = (
                f"link in send {token.node}/{token.enrolment} to {asked.address}, words {asked.wording}, "
                f"button pressed from {caller or 'unknown'}"
            )
            said = Said(asked.contact_id, asked.topic, asked.channel, "confirmed", SOURCE, evidence, at)
            record_consents(connection, standing_rules(rules), [said])
    return asked


def _question(connection: Connection, token: Token, now: Micros) -> Question | None:
    row = connection.execute(_SENT, {"node": token.node, "enrolment": token.enrolment}).first()
    if row is None or row.erased_at is not None:
        return None
    topic = json.loads(row.plan_json)["topic"]
    if not is_confirmation(topic):
        return None
    asked, address = asked_for(topic), row.email_key if row.channel == "email" else row.phone_key
    state = _state(connection, row, asked, now)
    return Question(
        row.contact_id, row.language or "", asked, row.channel, state, row.claimed_at, address or "", row.wording or ""
    )


def _state(connection: Connection, row: sa.Row[Any], topic: str, now: Micros) -> State:
    said = [
        one.state for one in history(connection, row.contact_id) if (one.topic, one.channel) == (topic, row.channel)
    ]
    if is_confirmed(said):
        return "confirmed"
    is_over = now >= row.claimed_at + LINK_LASTS.seconds * SECOND
    return "asks" if is_pending(said) and not is_over and not _has_moved(connection, row) else "lapsed"


def _has_moved(connection: Connection, row: sa.Row[Any]) -> bool:
    """Whether the address is another one than that to which the link went."""
    c = t.contact_change.c
    moved = sa.select(c.id).where(c.contact_id == row.contact_id, c.field == _CHANGES[row.channel])
    return connection.scalar(moved.where(c.at > row.claimed_at, c.old.is_not(None)).limit(1)) is not None


def _sent_words() -> sa.ScalarSelect[str]:
    """The content that stood when it was handed over."""
    e, b = t.edition.c, t.batch.c
    return (
        sa.select(t.content.c.hash)
        .join_from(t.edition, t.content, t.content.c.id == e.content_id)
        .where(e.node_id == b.node_id, e.arm == b.arm, e.channel == b.channel, e.language == b.language)
        .where(e.applied_at <= b.claimed_at)
        .order_by(e.applied_at.desc())
        .limit(1)
        .correlate(t.batch)
        .scalar_subquery()
    )


_SENT = (
    sa.select(
        t.enrolment.c.contact_id, t.send.c.channel, t.batch.c.claimed_at, t.version.c.plan_json, t.standing.c.language,
        t.contact.c.email_key, t.contact.c.phone_key, t.contact.c.erased_at, _sent_words().label("wording"),
    )
    .join_from(t.send, t.batch, t.batch.c.id == t.send.c.batch_id)
    .join(t.enrolment, t.enrolment.c.id == t.send.c.enrolment_id)
    .join(t.version, t.version.c.id == t.enrolment.c.version_id)
    .join(t.contact, t.contact.c.id == t.enrolment.c.contact_id)
    .outerjoin(t.standing, t.standing.c.contact_id == t.contact.c.id)
    .where(t.send.c.node_id == sa.bindparam("node"), t.send.c.enrolment_id == sa.bindparam("enrolment"))
    .where(t.batch.c.claimed_at.is_not(None))
)  # fmt: skip

"""Feedback in: one commit on the events part that keeps every report once and says which are new.

A report is known by its provider's second and its natural key, so a redelivery, under whatever event id, finds its row
already there. Only rows really inserted become arrivals, and only arrivals are folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.feedback.machine import machine_reason
from carillon.feedback.model import Feedback, FeedbackKind
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from carillon.kernel.ids import hash64
from carillon.kernel.tokens import LENGTH, Keyring, Token
from carillon.store.by_contact import lay_by_contact
from carillon.store.engine import Store
from carillon.store.staging import fill, stage, weigh

LONGEST_TEXT = 2000
"""Reasons, agents and URLs come from strangers; no honest one is longer."""

_FARTHEST = 2**62

# Where a person will want to read what the provider really said; of opens and deliveries there are too many to keep it.
_KEEPS_RAW = frozenset(
    {FeedbackKind.BOUNCED, FeedbackKind.DROPPED, FeedbackKind.FAILED, FeedbackKind.COMPLAINED, FeedbackKind.REPLIED,
     FeedbackKind.UNKNOWN}
)  # fmt: skip

_KIND = {kind: f"message.{kind.value}" for kind in FeedbackKind}
_CHANNEL = {channel: channel.value for channel in Channel}
_TEXTS = ("provider_ref", "code", "reason", "url", "user_agent", "ip")

_COLUMNS = ("occurred_at", "hash64", "kind", "node_id", "enrolment_id", "channel", "provider_ref", "address", "props")
_STAGED = """occurred_at BIGINT, hash64 BIGINT, kind TEXT, node_id BIGINT, enrolment_id BIGINT, contact_id BIGINT,
             channel TEXT, provider_ref TEXT, address TEXT, props JSONB"""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one commit brought: its intake (None where nothing was new), new rows, and rows that were there already."""

    intake_id: int | None
    new: int
    known: int


def ingest_feedback(
    store: Store, reports: Iterable[Feedback], keyring: Keyring, received_at: Micros, *, source: str = "feedback"
) -> Ingested:
    """Keep these reports, durably, in one commit; repeating it changes nothing."""
    rows = {(row[0], row[1]): row for row in (_row(report, keyring, received_at) for report in reports)}
    if not rows:
        return Ingested(None, 0, 0)
    with store.write("events") as connection:
        stage(connection, "incoming", _STAGED)
        fill(connection, "incoming", _COLUMNS, (rows[key] for key in sorted(rows)))
        weigh(connection, "incoming")
        if any(row[4] is None for row in rows.values()):
            for statement in _FIND_SEND:
                connection.execute(statement)
        connection.execute(_FIND_CONTACT)
        if any(row[4] is None for row in rows.values()):
            connection.execute(_FIND_CONTACT_BY_ADDRESS)
        if any(row[5] != Channel.EMAIL for row in rows.values()):
            connection.execute(_FORGET_REPEATED)
        return _keep(connection, len(rows), received_at, source)


def _keep(connection: Connection, n: int, received_at: Micros, source: str) -> Ingested:
    intake = connection.execute(_BEGIN_INTAKE, {"at": received_at, "source": source}).scalar_one()
    connection.execute(_INSERT_EVENTS, {"intake": intake})
    lay_by_contact(connection, "incoming")
    new = connection.execute(_INSERT_ARRIVALS, {"intake": intake}).rowcount
    if new == 0:
        connection.execute(_DROP_INTAKE, {"intake": intake})
        return Ingested(None, 0, n)
    connection.execute(_COUNT_INTAKE, {"intake": intake, "n": new})
    return Ingested(int(intake), new, n - new)


def address_key(channel: Channel, address: str) -> str:
    """An address as contacts and suppressions are keyed by it."""
    return address.strip().lower() if channel is Channel.EMAIL else address.strip()


def _row(report: Feedback, keyring: Keyring, received_at: Micros) -> tuple[Any, ...]:
    token = _read_token(keyring, report.cid) if report.cid and len(report.cid) == LENGTH else None
    address = address_key(report.channel, _clean(report.address)) if report.address else None
    return (
        report.at if -_FARTHEST < report.at < _FARTHEST else received_at,
        hash64("message", report.provider, report.natural_key.encode("utf-8", "surrogatepass")),
        _KIND[report.kind],
        token.node if token else None,
        token.enrolment if token else None,
        _CHANNEL[report.channel],
        _clean(report.provider_ref) if report.provider_ref else None,
        address,
        _props(report, address),
    )


@lru_cache(maxsize=65_536)
def _read_token(keyring: Keyring, cid: str) -> Token | None:
    # What is reported about a send comes in several reports, mostly within minutes.
    return keyring.read(cid)


def _props(report: Feedback, address: str | None) -> str:
    props: dict[str, Any] = {"channel": _CHANNEL[report.channel], "provider": report.provider}
    if machine := machine_reason(report):
        props["machine"] = machine
    if report.bounce:
        props["bounce"] = report.bounce
    if report.halts:
        props["halts"] = "1"
    if address:
        props["address"] = address
    if report.link is not None:
        props["link"] = report.link
    for name in _TEXTS:
        if text := getattr(report, name):
            props[name] = _clean(text)
    if report.raw and report.kind in _KEEPS_RAW:
        props["raw"] = _clean_tree(report.raw)
    return orjson.dumps(props).decode()


def _clean(text: str) -> str:
    # PostgreSQL keeps no NUL in JSON, and no store half a surrogate pair.
    if text.isascii() and "\0" not in text:
        return text[:LONGEST_TEXT]
    return text[:LONGEST_TEXT].encode("utf-8", "replace").decode().replace("\0", "")


def _clean_tree(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict):
        if depth == 4:
            return "…"
        return {_clean(str(key)): _clean_tree(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return "…" if depth == 4 else [_clean_tree(item, depth + 1) for item in value]
    if isinstance(value, bool | float | None):
        return value
    return value if isinstance(value, int) and -_FARTHEST < value < _FARTHEST else _clean(str(value))


def _named(*statements: str) -> Sequence[sa.TextClause]:
    return [sa.text(statement) for statement in statements]


# The message's own id first (people who went one by one), then the request's id together with the address: SendGrid's
# sg_message_id is the X-Message-Id of the request, a dot, and a part for each person.
_FIND_SEND = _named(
    """UPDATE incoming SET (node_id, enrolment_id) =
         (SELECT r.node_id, r.enrolment_id FROM ledger.receipt r WHERE r.provider_ref = incoming.provider_ref LIMIT 1)
       WHERE enrolment_id IS NULL AND provider_ref IS NOT NULL""",
    """UPDATE incoming SET (node_id, enrolment_id) =
         (SELECT s.node_id, s.enrolment_id
          FROM core.contact c
          JOIN ledger.send s ON s.contact_id = c.id
          JOIN ledger.batch b ON b.id = s.batch_id
          WHERE (c.email_key = incoming.address OR c.phone_key = incoming.address)
            AND b.channel = incoming.channel AND s.outcome IS NULL
            AND (incoming.provider_ref = b.provider_ref OR incoming.provider_ref LIKE b.provider_ref || '.%')
          ORDER BY s.enrolment_id LIMIT 1)
       WHERE enrolment_id IS NULL AND provider_ref IS NOT NULL AND address IS NOT NULL""",
)
_FIND_CONTACT = sa.text(
    """UPDATE incoming SET contact_id = (SELECT e.contact_id FROM ledger.enrolment e WHERE e.id = incoming.enrolment_id)
       WHERE enrolment_id IS NOT NULL"""
)
_FIND_CONTACT_BY_ADDRESS = sa.text(
    """UPDATE incoming SET contact_id =
         CASE channel WHEN 'email' THEN (SELECT min(c.id) FROM core.contact c WHERE c.email_key = incoming.address)
                      ELSE (SELECT min(c.id) FROM core.contact c WHERE c.phone_key = incoming.address) END
       WHERE contact_id IS NULL AND address IS NOT NULL"""
)
# Twilio's callbacks bear no instant, ours is put there instead: what repeats is told by its key alone.
_FORGET_REPEATED = sa.text(
    """DELETE FROM incoming WHERE channel <> 'email' AND EXISTS (
         SELECT 1 FROM events.contact_event e
         WHERE e.contact_id = incoming.contact_id AND e.kind = incoming.kind AND e.hash64 = incoming.hash64)"""
)
_BEGIN_INTAKE = sa.text(
    """INSERT INTO events.intake (received_at, source, n, state, history) VALUES (:at, :source, 0, 'new', 0)
       RETURNING id"""
)
_INSERT_EVENTS = sa.text(
    """INSERT INTO events.event (occurred_at, hash64, kind, contact_id, intake_id, node_id, enrolment_id, props)
       SELECT occurred_at, hash64, kind, contact_id, :intake, node_id, enrolment_id, props
       FROM incoming WHERE true
       ON CONFLICT (occurred_at, hash64) DO NOTHING"""
)
_INSERT_ARRIVALS = sa.text(
    """INSERT INTO events.arrival (intake_id, occurred_at, hash64)
       SELECT e.intake_id, e.occurred_at, e.hash64
       FROM incoming i JOIN events.event e ON e.occurred_at = i.occurred_at AND e.hash64 = i.hash64
       WHERE e.intake_id = :intake"""
)
_COUNT_INTAKE = sa.text("UPDATE events.intake SET n = :n WHERE id = :intake")
_DROP_INTAKE = sa.text("DELETE FROM events.intake WHERE id = :intake")

"""What a fold leaves for others to act on, each with a cursor of its own over the ids.

`event`     the shop says that a contact did something: entries, exits and waits look
`enter`     the API asks for a contact to be taken into a campaign; `thing` is the caller's key
`response`  a contact opened or clicked: conditions on it may have come true
`redeem`    the code of an enrolment stood in an order, whoever ordered; `subject` is the pool
`suppress`  a dead address or a complaint; `subject` is the address key, `thing` the channel
`withdraw`  a no; `subject` is the channel, `campaign_id` tells the topic (none: all), `thing` is the address if known
`restore`   a START after a STOP; as `withdraw`
`halt`      nothing of a sender arrives any more; `subject` is the connector, `thing` the batch, `reason` what was said
`settle`    a report bears the id of a send whose batch is claimed or unsure: proof that it left; `thing` is the batch
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros

ENTER_EVENT = "api.enter"
"""The kind under which `/v1/enter` comes in; props: campaign_id and key."""


def emit(connection: Connection, now: Micros, heard: Collection[str] | None) -> int:
    """Write the signals of what is staged in `fresh` and `report`; returns how many."""
    written = connection.execute(_EVENTS if heard is None else _heard(heard), {"now": now}).rowcount
    statements = [_ENTERS]
    if connection.execute(_ANY_ORDER).scalar() is not None and connection.execute(_ANY_CODE).scalar() is not None:
        statements.append(_REDEMPTIONS)
    if connection.execute(_ANY_FEEDBACK).scalar() is not None:
        statements += [_RESPONSES, _SUPPRESSIONS, _WORDS, _HALTS, _SETTLEMENTS]
    return written + sum(connection.execute(statement, {"now": now}).rowcount for statement in statements)


def _heard(heard: Collection[str]) -> sa.TextClause:
    kinds: sa.BindParameter[str] = sa.bindparam("heard", sorted(heard), type_=sa.String(), expanding=True)
    return sa.text(f"{_EVENTS.text.replace(_ORDER, '')} AND f.kind IN :heard {_ORDER}").bindparams(kinds)


_ANY_FEEDBACK = sa.text("SELECT 1 FROM fresh WHERE is_feedback = 1 LIMIT 1")
_ANY_ORDER = sa.text("SELECT 1 FROM fresh WHERE kind = 'order_completed' LIMIT 1")
_ANY_CODE = sa.text("SELECT 1 FROM ledger.coupon WHERE enrolment_id IS NOT NULL LIMIT 1")
_ORDER = "ORDER BY f.occurred_at, f.hash64"

_EVENTS = sa.text(
    f"""INSERT INTO events.signal (kind, contact_id, subject, thing, reason, history, at, event_at, event_hash)
        SELECT 'event', f.contact_id, f.kind, '', '', f.history, :now, f.occurred_at, f.hash64
        FROM fresh f
        WHERE f.is_feedback = 0 AND f.contact_id IS NOT NULL AND f.kind <> '{ENTER_EVENT}' {_ORDER}"""
)
_ENTERS = sa.text(
    f"""INSERT INTO events.signal (kind, campaign_id, contact_id, subject, thing, reason, history, at,
                                   event_at, event_hash)
        SELECT 'enter', CAST(e.props ->> 'campaign_id' AS BIGINT), f.contact_id, '', e.props ->> 'key', '',
               f.history, :now, f.occurred_at, f.hash64
        FROM fresh f JOIN events.event e ON e.occurred_at = f.occurred_at AND e.hash64 = f.hash64
        WHERE f.kind = '{ENTER_EVENT}' AND f.contact_id IS NOT NULL {_ORDER}"""
)


_REDEMPTIONS = sa.text(
    f"""INSERT INTO events.signal (kind, campaign_id, enrolment_id, contact_id, subject, thing, reason, history, at,
                                   event_at, event_hash)
        SELECT 'redeem', h.campaign_id, h.id, h.contact_id, c.pool, '', '', f.history, :now, f.occurred_at, f.hash64
        FROM fresh f JOIN events.event e ON e.occurred_at = f.occurred_at AND e.hash64 = f.hash64
        JOIN ledger.coupon c ON c.enrolment_id IS NOT NULL AND upper(c.code) = upper(trim(e.props ->> 'coupon'))
        JOIN ledger.enrolment h ON h.id = c.enrolment_id
        WHERE f.kind = 'order_completed' {_ORDER}"""
)


def _of_reports(columns: str, select: str, condition: str, *, joins: str = "") -> sa.TextClause:
    """One signal a report that fulfils the condition, bearing its send, campaign and contact."""
    return sa.text(
        f"""INSERT INTO events.signal (campaign_id, node_id, enrolment_id, contact_id, at, event_at, event_hash,
                                       history, {columns})
            SELECT n.campaign_id, f.node_id, f.enrolment_id, f.contact_id, :now, f.occurred_at, f.hash64, 0, {select}
            FROM report f LEFT JOIN core.node n ON n.id = f.node_id {joins}
            WHERE {condition} {_ORDER}"""
    )


_RESPONSES = _of_reports(
    "kind, subject, thing, reason",
    "'response', f.kind, '', ''",
    "f.kind IN ('message.opened', 'message.clicked') AND f.machine IS NULL AND f.contact_id IS NOT NULL",
)
_ADDRESS = "coalesce(f.address, CASE f.channel WHEN 'email' THEN c.email_key ELSE c.phone_key END)"
_SUPPRESSIONS = _of_reports(
    "kind, subject, thing, reason",
    f"""'suppress', {_ADDRESS}, f.channel,
        CASE f.kind WHEN 'message.complained' THEN 'complaint' ELSE 'hard_bounce' END""",
    f"(f.kind = 'message.complained' OR f.bounce = 'hard') AND {_ADDRESS} IS NOT NULL",
    joins="LEFT JOIN core.contact c ON c.id = f.contact_id",
)
_WORDS = _of_reports(
    "kind, subject, thing, reason",
    """CASE f.kind WHEN 'message.unsubscribed' THEN 'withdraw' ELSE 'restore' END,
       f.channel, coalesce(f.address, ''), CASE WHEN f.node_id IS NULL THEN 'no send' ELSE '' END""",
    """f.kind IN ('message.unsubscribed', 'message.resubscribed')
       AND (f.contact_id IS NOT NULL OR f.address IS NOT NULL)""",
)
_HALTS = sa.text(
    f"""INSERT INTO events.signal (kind, campaign_id, node_id, enrolment_id, contact_id, subject, thing, reason, history,
                                  at, event_at, event_hash)
       SELECT 'halt', b.campaign_id, f.node_id, f.enrolment_id, f.contact_id, b.connector, CAST(b.id AS TEXT),
              trim(coalesce(e.props ->> 'code', '') || ' ' || coalesce(e.props ->> 'reason', '')), 0,
              :now, f.occurred_at, f.hash64
       FROM report f
       JOIN events.event e ON e.occurred_at = f.occurred_at AND e.hash64 = f.hash64
       JOIN ledger.send s ON s.node_id = f.node_id AND s.enrolment_id = f.enrolment_id
       JOIN ledger.batch b ON b.id = s.batch_id
       WHERE f.kind = 'message.failed' AND e.props ->> 'halts' = '1' {_ORDER}"""
)
_SETTLEMENTS = sa.text(
    """INSERT INTO events.signal (kind, campaign_id, node_id, enrolment_id, contact_id, subject, thing, reason, history,
                                  at, event_at)
       SELECT 'settle', b.campaign_id, f.node_id, f.enrolment_id, min(f.contact_id), '', CAST(b.id AS TEXT), '', 0,
              :now, min(f.occurred_at)
       FROM report f
       JOIN ledger.send s ON s.node_id = f.node_id AND s.enrolment_id = f.enrolment_id
       JOIN ledger.batch b ON b.id = s.batch_id AND b.state IN ('claimed', 'unsure')
       GROUP BY b.id, b.campaign_id, f.node_id, f.enrolment_id
       ORDER BY b.id, f.node_id, f.enrolment_id"""
)

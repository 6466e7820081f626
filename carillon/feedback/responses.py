"""What became of each send: one `response` row, people and machines apart, by rank and instant, never by arrival."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.feedback.machine import BURST, BURST_LINKS, FAST_CLICK, MOST_CLICKS
from carillon.store.staging import stage, weigh


def fold_responses(connection: Connection) -> None:
    """Fold the feedback in `fresh`, leaving it as `report` for the signals."""
    _fold_reports(connection)
    _fold_clicks(connection)
    lay_newest(connection, _ANSWERED)


def lay_newest(connection: Connection, contacts: str) -> None:
    """Lay the newest open and click of these contacts (a SELECT of `contact_id`), anew: a click may become a machine's."""
    connection.execute(sa.text(_NEWEST.format(contacts=contacts)))


def _fold_reports(connection: Connection) -> None:
    stage(connection, "report", _REPORT)
    connection.execute(_STAGE_REPORTS)
    weigh(connection, "report")
    connection.execute(_FOLD_REPORTS)


def _fold_clicks(connection: Connection) -> None:
    stage(connection, "clicked", _CLICKED)
    connection.execute(_STAGE_CLICKED)
    if connection.execute(sa.text("SELECT 1 FROM clicked LIMIT 1")).scalar() is None:
        return
    weigh(connection, "clicked")
    stage(connection, "click", _CLICK)
    connection.execute(sa.text(_STAGE_CLICKS.format(length=_LENGTH[connection.dialect.name])))
    weigh(connection, "click")
    connection.execute(_FOLD_CLICKS)


_REPORT = """occurred_at BIGINT, hash64 BIGINT, kind TEXT, contact_id BIGINT, node_id BIGINT, enrolment_id BIGINT,
             channel TEXT, machine TEXT, bounce TEXT, address TEXT"""
_CLICKED = "node_id BIGINT, enrolment_id BIGINT, contact_id BIGINT"
_CLICK = """node_id BIGINT, enrolment_id BIGINT, contact_id BIGINT, occurred_at BIGINT, hash64 BIGINT, link TEXT,
            links BIGINT, machine INTEGER, PRIMARY KEY (enrolment_id, node_id, occurred_at, hash64)"""

_LENGTH = {"sqlite": "json_array_length(c.links)", "postgresql": "jsonb_array_length(CAST(c.links AS JSONB))"}

_STAGE_REPORTS = sa.text(
    """INSERT INTO report
       SELECT f.occurred_at, f.hash64, f.kind, f.contact_id, f.node_id, f.enrolment_id,
              e.props ->> 'channel', e.props ->> 'machine', e.props ->> 'bounce', e.props ->> 'address'
       FROM fresh f JOIN events.event e ON e.occurred_at = f.occurred_at AND e.hash64 = f.hash64
       WHERE f.is_feedback = 1"""
)


def _least(column: str) -> str:
    return f"{column} = CASE WHEN r.{column} IS NULL OR excluded.{column} < r.{column} THEN excluded.{column} ELSE r.{column} END"


def _first(column: str, condition: str) -> str:
    return f"min(CASE WHEN {condition} THEN occurred_at END) AS {column}"


# What was dropped or failed has not been received either: it counts as refused, and suppresses nobody.
_BACK = "kind IN ('message.bounced', 'message.dropped', 'message.failed')"
_RANK = "CASE {0} WHEN 'hard' THEN 3 WHEN 'block' THEN 2 WHEN 'soft' THEN 1 ELSE 0 END"
_OPEN = "kind = 'message.opened' AND machine IS NULL"
_INSTANTS = {
    "processed_at": "kind = 'message.processed'",
    "delivered_at": "kind = 'message.delivered'",
    "bounced_at": _BACK,
    "complained_at": "kind = 'message.complained'",
    "unsubscribed_at": "kind = 'message.unsubscribed'",
    "first_open": _OPEN,
    "machine_open": "kind = 'message.opened' AND machine IS NOT NULL",
}
_FOLD_REPORTS = sa.text(
    f"""INSERT INTO events.response AS r (node_id, enrolment_id, contact_id, bounce, opens, {", ".join(_INSTANTS)})
        SELECT node_id, enrolment_id, min(contact_id),
               CASE max(CASE WHEN {_BACK} THEN {_RANK.format("coalesce(bounce, 'block')")} END)
                 WHEN 3 THEN 'hard' WHEN 2 THEN 'block' WHEN 1 THEN 'soft' END,
               sum(CASE WHEN {_OPEN} THEN 1 ELSE 0 END),
               {", ".join(_first(column, condition) for column, condition in _INSTANTS.items())}
        FROM report
        WHERE node_id IS NOT NULL AND enrolment_id IS NOT NULL AND contact_id IS NOT NULL
        GROUP BY node_id, enrolment_id
        ON CONFLICT (node_id, enrolment_id) DO UPDATE SET
          bounce = CASE WHEN {_RANK.format("excluded.bounce")} > {_RANK.format("r.bounce")}
                        THEN excluded.bounce ELSE r.bounce END,
          opens = r.opens + excluded.opens,
          {", ".join(_least(column) for column in _INSTANTS)}"""
)

# A click is judged beside its delivery and the other clicks, so it is judged again when one of them arrives.
_STAGE_CLICKED = sa.text(
    """INSERT INTO clicked
       SELECT DISTINCT p.node_id, p.enrolment_id, r.contact_id
       FROM report p JOIN events.response r ON r.node_id = p.node_id AND r.enrolment_id = p.enrolment_id
       WHERE p.kind = 'message.clicked'
          OR (p.kind = 'message.delivered' AND coalesce(r.first_click, r.machine_click) IS NOT NULL)"""
)
_STAGE_CLICKS = f"""
    INSERT INTO click
    SELECT k.node_id, k.enrolment_id, k.contact_id, e.occurred_at, e.hash64,
           coalesce(e.props ->> 'link', e.props ->> 'url'), {{length}},
           CASE WHEN e.props ->> 'machine' IS NOT NULL
                  OR (e.props ->> 'channel' = 'email' AND e.occurred_at < r.delivered_at + {FAST_CLICK})
                THEN 1 ELSE 0 END
    FROM clicked k
    JOIN events.contact_event own ON own.contact_id = k.contact_id AND own.kind = 'message.clicked'
    JOIN events.event e ON e.occurred_at = own.occurred_at AND e.hash64 = own.hash64
                       AND e.node_id = k.node_id AND e.enrolment_id = k.enrolment_id
    JOIN events.response r ON r.node_id = k.node_id AND r.enrolment_id = k.enrolment_id
    LEFT JOIN ledger.send s ON s.node_id = k.node_id AND s.enrolment_id = k.enrolment_id
    LEFT JOIN ledger.batch b ON b.id = s.batch_id
    LEFT JOIN core.node_content nc ON nc.node_id = s.node_id AND nc.arm = s.arm AND nc.channel = b.channel
                                  AND nc.language = b.language
    LEFT JOIN core.content c ON c.id = nc.content_id"""
_FOLD_CLICKS = sa.text(
    f"""WITH suspect AS (
          SELECT node_id, enrolment_id, count(*) AS n FROM click
          GROUP BY node_id, enrolment_id
          HAVING count(*) > {MOST_CLICKS}
              OR (max(links) >= {BURST_LINKS} AND count(DISTINCT link) >= max(links))
        ), judged AS (
          SELECT c.node_id, c.enrolment_id, c.contact_id, c.occurred_at,
                 CASE WHEN c.machine = 1 OR s.n > {MOST_CLICKS}
                        OR (s.n IS NOT NULL AND c.links <= (
                              SELECT count(DISTINCT o.link) FROM click o
                              WHERE o.enrolment_id = c.enrolment_id AND o.node_id = c.node_id
                                AND o.occurred_at BETWEEN c.occurred_at - {BURST} AND c.occurred_at + {BURST}))
                      THEN 1 ELSE 0 END AS machine
          FROM click c LEFT JOIN suspect s ON s.node_id = c.node_id AND s.enrolment_id = c.enrolment_id
        )
        INSERT INTO events.response (node_id, enrolment_id, contact_id, first_click, clicks, machine_click)
        SELECT node_id, enrolment_id, min(contact_id), min(CASE WHEN machine = 0 THEN occurred_at END),
               sum(1 - machine), min(CASE WHEN machine = 1 THEN occurred_at END)
        FROM judged WHERE true
        GROUP BY node_id, enrolment_id
        ON CONFLICT (node_id, enrolment_id) DO UPDATE SET
          first_click = excluded.first_click, clicks = excluded.clicks, machine_click = excluded.machine_click"""
)

_ANSWERED = """SELECT contact_id FROM report WHERE kind = 'message.opened' AND machine IS NULL
               UNION SELECT contact_id FROM clicked"""
_NEWEST = """
    INSERT INTO events.contact_response (contact_id, last_open, last_click)
    SELECT r.contact_id, max(r.first_open), max(r.first_click)
    FROM ({contacts}) answered JOIN events.response r ON r.contact_id = answered.contact_id
    WHERE true
    GROUP BY r.contact_id ORDER BY r.contact_id
    ON CONFLICT (contact_id) DO UPDATE SET last_open = excluded.last_open, last_click = excluded.last_click"""

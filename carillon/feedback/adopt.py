"""Orphans: events that came before their contact. When the contact comes they arrive anew, and are folded as any others.

An orphan that was not folded yet keeps the arrival that it has. Whether it may enrol stays as when it came.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.people.ingest import ADOPTION
from carillon.store import tables as t
from carillon.store.by_contact import lay_by_contact
from carillon.store.engine import Store
from carillon.store.staging import fill, stage
from carillon.store.writing import take_turn

CONSUMER = "orphans"
"""In `core.cursor`: the newest contact for whom orphans were looked through."""


def adopt_orphans(store: Store, now: Micros) -> int:
    """Give orphaned events to contacts who came since the last look; returns how many found theirs."""
    with store.read() as connection:
        newest = connection.scalar(sa.select(sa.func.max(t.contact.c.id))) or 0
        seen = connection.scalar(sa.select(t.core_cursor.c.signal_id).where(t.core_cursor.c.consumer == CONSUMER)) or 0
    if newest <= seen:
        return 0
    with store.write("events") as connection:
        adopted = _adopt(connection, now, _KNOWN)
    with store.write("core") as connection:  # behind the adoption: after a crash between them it is only repeated
        connection.execute(_SEEN, {"consumer": CONSUMER, "newest": newest})
    return adopted


def adopt_aliases(store: Store, now: Micros, contacts: Mapping[str, int]) -> int:
    """Give the orphans under these keys (anonymous ids that were identified) to these contacts; returns how many."""
    if not contacts:
        return 0
    with store.write("events") as connection:
        stage(connection, "alias", "orphan_key TEXT, contact_id BIGINT")
        fill(connection, "alias", ("orphan_key", "contact_id"), list(contacts.items()))
        return _adopt(connection, now, _ALIASED)


def _adopt(connection: Connection, now: Micros, who: sa.TextClause) -> int:
    take_turn(connection, ADOPTION)
    stage(
        connection, "adopted", "occurred_at BIGINT, hash64 BIGINT, contact_id BIGINT, intake_id BIGINT, history BIGINT"
    )
    adopted = connection.execute(who).rowcount
    if adopted == 0:
        return 0
    connection.execute(_GIVE)
    lay_by_contact(connection, "adopted")
    for history in (0, 1):
        intake = connection.execute(_BEGIN, {"at": now, "history": history}).scalar_one()
        n = connection.execute(_ARRIVE, {"intake": intake, "history": history}).rowcount
        connection.execute(_COUNT if n else _NONE, {"intake": intake, "n": n} if n else {"intake": intake})
    return adopted


_ORPHANS = """INSERT INTO adopted
              SELECT e.occurred_at, e.hash64, {contact}, e.intake_id, i.history
              FROM events.event e {join} JOIN events.intake i ON i.id = e.intake_id
              WHERE e.contact_id IS NULL AND e.orphan_key IS NOT NULL"""
_KNOWN = sa.text(
    _ORPHANS.format(contact="coalesce(c.merged_into, c.id)", join="JOIN core.contact c ON c.shop_id = e.orphan_key")
)
_ALIASED = sa.text(_ORPHANS.format(contact="a.contact_id", join="JOIN alias a ON a.orphan_key = e.orphan_key"))
_GIVE = sa.text(
    """UPDATE events.event SET contact_id =
         (SELECT a.contact_id FROM adopted a WHERE a.occurred_at = event.occurred_at AND a.hash64 = event.hash64)
       WHERE (occurred_at, hash64) IN (SELECT occurred_at, hash64 FROM adopted)"""
)
_BEGIN = sa.text(
    """INSERT INTO events.intake (received_at, source, n, state, history) VALUES (:at, 'adopted', 0, 'new', :history)
       RETURNING id"""
)
_ARRIVE = sa.text(
    """INSERT INTO events.arrival (intake_id, occurred_at, hash64)
       SELECT :intake, o.occurred_at, o.hash64 FROM adopted o
       WHERE o.history = :history AND NOT EXISTS (
         SELECT 1 FROM events.arrival a
         WHERE a.intake_id = o.intake_id AND a.occurred_at = o.occurred_at AND a.hash64 = o.hash64)"""
)
_NONE = sa.text("DELETE FROM events.intake WHERE id = :intake")
_COUNT = sa.text("UPDATE events.intake SET n = :n WHERE id = :intake")
_SEEN = sa.text(
    """INSERT INTO core.cursor (consumer, signal_id) VALUES (:consumer, :newest)
       ON CONFLICT (consumer) DO UPDATE SET signal_id = excluded.signal_id"""
)

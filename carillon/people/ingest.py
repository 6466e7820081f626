"""Events in: one commit on the events part that writes an intake, what of it is new, and an arrival for each new row.

A repeated event finds its row there (same instant and id, or same instant and content) and arrives no second time. Who
is not known yet leaves an orphan's key; when a contact of that id comes, `feedback` gives the event to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.store import tables as t
from carillon.store.bulk import insert_rows, many, reserve_ids
from carillon.store.engine import Store
from carillon.store.writing import join_turns

ADOPTION = 0x6361_616F
"""PostgreSQL's advisory lock between those who find a contact unknown and the one who gives orphans to contacts: an
adoption that did not see an uncommitted orphan would never look for it again."""

_KEY = itemgetter(0, 1)
_EVENT = ("occurred_at", "hash64", "kind", "contact_id", "orphan_key", "intake_id", "value_cents", "currency", "props")


class ArrivedEvent(NamedTuple):
    """An event that came in, typed (`events.EventShape`) and with its key (`events.event_hash`)."""

    occurred_at: Micros
    hash64: int
    kind: str
    shop_id: str
    """The contact's id as the shop knows it."""
    value_cents: int | None
    props: str
    """JSON text."""
    currency: str | None = None
    """None: the workspace's."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What one intake brought; `intake_id` is None where nothing was new."""

    intake_id: int | None
    inserted: int
    duplicates: int
    orphans: int
    """Inserted or repeated events of contacts that are not known."""


def ingest_events(
    store: Store, events: Sequence[ArrivedEvent], *, source: str, history: bool, received_at: Micros
) -> IngestResult:
    """Write the events durably, in one commit. `history`: an import of the past, which never enrols."""
    if not events:
        return IngestResult(None, 0, 0, 0)
    with store.write("events") as connection:
        return write_events(connection, events, source=source, history=history, received_at=received_at)


def write_events(
    connection: Connection, events: Sequence[ArrivedEvent], *, source: str, history: bool, received_at: Micros
) -> IngestResult:
    """The same in the caller's transaction on the events part."""
    join_turns(connection, ADOPTION)
    ids = contact_ids(connection, {event[3] for event in events})
    intake = _begin_intake(connection, source, history, received_at)
    known = ids.get
    rows = [
        (at, key, kind, known(who), None if who in ids else who, intake, value, currency, props)
        for at, key, kind, who, value, props, currency in sorted(
            events, key=_KEY
        )  # the order of the key: fifteen times faster
    ]
    inserted = insert_rows(connection, t.event, _EVENT, rows, ignore_conflicts=True)
    _write_arrivals(connection, intake, [(intake, row[0], row[1]) for row in rows], inserted)
    _end_intake(connection, intake, inserted)
    orphans = sum(row[3] is None for row in rows)
    return IngestResult(intake if inserted else None, inserted, len(rows) - inserted, orphans)


def contact_ids(connection: Connection, shop_ids: Iterable[str]) -> dict[str, int]:
    """The shop's id → ours, of those that are known; a merged contact is the one it was merged into."""
    c = t.contact.c
    rows = connection.execute(
        sa.select(c.shop_id, sa.func.coalesce(c.merged_into, c.id)).where(c.shop_id.in_(many(shop_ids, str)))
    )
    return {shop_id: contact_id for shop_id, contact_id in rows}


def _begin_intake(connection: Connection, source: str, history: bool, received_at: Micros) -> int:
    intake = reserve_ids(connection, t.intake, 1)[0]
    connection.execute(
        t.intake.insert().values(id=intake, received_at=received_at, source=source, n=0, history=int(history))
    )
    return intake


def _end_intake(connection: Connection, intake: int, n: int) -> None:
    this = t.intake.c.id == intake
    connection.execute(t.intake.update().where(this).values(n=n) if n else t.intake.delete().where(this))


def _write_arrivals(connection: Connection, intake: int, keys: list[tuple[int, int, int]], inserted: int) -> None:
    """One arrival for each row that this intake inserted: all of them, or those whose event says it came with us."""
    if not inserted:
        return
    insert_rows(connection, t.arrival, ("intake_id", "occurred_at", "hash64"), keys, ignore_conflicts=True)
    if inserted == len(keys):
        return
    came_before = sa.exists().where(
        t.event.c.occurred_at == t.arrival.c.occurred_at,
        t.event.c.hash64 == t.arrival.c.hash64,
        t.event.c.intake_id != intake,
    )
    connection.execute(t.arrival.delete().where(t.arrival.c.intake_id == intake, came_before))

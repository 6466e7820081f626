"""Events in: one commit on the events part that writes an intake, what of it is new, and an arrival for each new row.

A repeated event finds its row there (same instant and id, or same instant and content) and arrives no second time. Who
is not known yet leaves an orphan's key; when a contact of that id comes, `feedback` gives the event to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.people.arriving import ELSEWHERE, HERE, HERE_KNOWN, SENT, Staged, Way, stage_events, staged_elsewhere
from carillon.people.rows import ArrivedEvent as ArrivedEvent
from carillon.people.sent import Sent
from carillon.people.who import contact_ids as contact_ids
from carillon.store import tables as t
from carillon.store.bulk import reserve_ids
from carillon.store.by_contact import lay, lay_by_contact
from carillon.store.engine import Store
from carillon.store.writing import join_turns

ADOPTION = 0x6361_616F
"""PostgreSQL's advisory lock between those who find a contact unknown and the one who gives orphans to contacts: an
adoption that did not see an uncommitted orphan would never look for it again."""

_UNTOLD: Mapping[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What one intake brought; `intake_id` is None where nothing was new."""

    intake_id: int | None
    inserted: int
    duplicates: int
    orphans: int
    """Inserted or repeated events of contacts that are not known."""


def ingest_events(
    store: Store, events: Sequence[ArrivedEvent], *, source: str, history: bool, received_at: Micros,
    money: Mapping[str, str | None] = _UNTOLD,
) -> IngestResult:  # fmt: skip
    """Write the events durably, in one commit. `history`: an import of the past, which never enrols.

    `money` names, kind by kind, the property whose money is the event's value (`people.events.value_field`).
    """
    if not events:
        return IngestResult(None, 0, 0, 0)
    with store.write("events") as connection:
        return write_events(connection, events, source=source, history=history, received_at=received_at, money=money)


def write_events(
    connection: Connection, events: Sequence[ArrivedEvent], *, source: str, history: bool, received_at: Micros,
    money: Mapping[str, str | None] = _UNTOLD,
) -> IngestResult:  # fmt: skip
    """The same in the caller's transaction on the events part."""
    join_turns(connection, ADOPTION)
    intake = _begin_intake(connection, source, history, received_at)
    result = _write_staged(connection, stage_events(connection, events), intake, money)
    connection.execute(_FORGET)
    return result


def ingest_sent(
    store: Store, sent: Sent, *, source: str, history: bool, received_at: Micros, money: Mapping[str, str | None] = _UNTOLD
) -> IngestResult:  # fmt: skip
    """`ingest_events` of those that another process has staged; SQLite has their database afterwards, `sent` no more."""
    if not sent.n:
        return IngestResult(None, 0, 0, 0)
    database, sent.database = sent.database, b""
    with store.draft("events") as draft, draft.holding(SENT, database):
        del database
        with draft.writing() as connection:
            intake = _begin_intake(connection, source, history, received_at)
            return _write_staged(connection, staged_elsewhere(connection, sent), intake, money)


def _write_staged(
    connection: Connection, staged: Staged, intake: int, money: Mapping[str, str | None]
) -> IngestResult:  # fmt: skip
    write, told = _WRITE[staged.way], {"intake": intake, "kind": staged.kind}
    orphans = connection.execute(write.count_orphans).scalar_one() if staged.has_strangers else 0
    inserted = connection.execute(write.insert_events, told).rowcount
    if staged.way.is_known and inserted == staged.n:
        lay(connection, write.of_contacts, told)
    else:
        lay_by_contact(connection, staged.way.keys)
    connection.execute(write.all_arrive if inserted == staged.n else write.new_arrive, {"intake": intake})
    _tell_money(connection, {kind: money.get(kind) or "" for kind in staged.with_money})
    _end_intake(connection, intake, inserted)
    return IngestResult(intake if inserted else None, inserted, staged.n - inserted, orphans)


def money_fields(connection: Connection) -> dict[str, str]:
    """Kind → the property of which `value_cents` is the money, where that is true of all its events."""
    m = t.money_field.c
    return {kind: field for kind, field in connection.execute(sa.select(m.kind, m.field).where(m.field != ""))}


def _tell_money(connection: Connection, told: Mapping[str, str]) -> None:
    m = t.money_field.c
    known = {
        kind: field for kind, field in connection.execute(sa.select(m.kind, m.field).where(m.kind.in_(list(told))))
    }
    for kind, field in told.items():
        if known.get(kind) not in (field, ""):
            connection.execute(_SAY_MONEY, {"kind": kind, "field": field})


def _begin_intake(connection: Connection, source: str, history: bool, received_at: Micros) -> int:
    intake = reserve_ids(connection, t.intake, 1)[0]
    connection.execute(
        t.intake.insert().values(id=intake, received_at=received_at, source=source, n=0, history=int(history))
    )
    return intake


def _end_intake(connection: Connection, intake: int, n: int) -> None:
    this = t.intake.c.id == intake
    connection.execute(t.intake.update().where(this).values(n=n) if n else t.intake.delete().where(this))


class _Statements(NamedTuple):
    """What is written of staged events."""

    count_orphans: sa.TextClause
    insert_events: sa.TextClause
    of_contacts: str
    all_arrive: sa.TextClause
    """One arrival for each row that this intake inserted: of all of them,"""
    new_arrive: sa.TextClause
    """or of those whose event says that it came with us."""


_FOUND_BEFORE = "a.contact_id, a.shop_id", "a.contact_id IS NULL", ""
_FOUND_HERE = (
    "coalesce(a.contact_id, c.merged_into, c.id), CASE WHEN a.contact_id IS NULL AND c.id IS NULL THEN a.shop_id END",
    "a.contact_id IS NULL AND NOT EXISTS (SELECT 1 FROM core.contact c WHERE c.shop_id = a.shop_id)",
    "LEFT JOIN core.contact c ON c.shop_id = a.shop_id",
)


def _statements(way: Way) -> _Statements:
    who, is_nobody, joined = _FOUND_BEFORE if way.is_known else _FOUND_HERE
    keys, rows = way.keys, way.rows
    return _Statements(
        sa.text(f"SELECT count(*) FROM {rows} a WHERE {is_nobody}"),
        sa.text(
            f"""INSERT INTO events.event
                  (occurred_at, hash64, kind, contact_id, orphan_key, intake_id, value_cents, currency, props)
                SELECT a.occurred_at, a.hash64, coalesce(a.kind, CAST(:kind AS TEXT)), {who},
                       :intake, a.value_cents, a.currency, a.props
                FROM {rows} a {joined}
                WHERE true
                ON CONFLICT (occurred_at, hash64) DO NOTHING"""
        ),
        f"""SELECT a.contact_id, coalesce(a.kind, :kind) AS kind, a.occurred_at, a.hash64, a.value_cents, a.props
            FROM {rows} a WHERE a.contact_id IS NOT NULL""",
        sa.text(
            f"""INSERT INTO events.arrival (intake_id, occurred_at, hash64)
                SELECT CAST(:intake AS BIGINT), occurred_at, hash64 FROM {keys}"""
        ),
        sa.text(
            f"""INSERT INTO events.arrival (intake_id, occurred_at, hash64)
                SELECT DISTINCT e.intake_id, e.occurred_at, e.hash64
                FROM {keys} a JOIN events.event e ON e.occurred_at = a.occurred_at AND e.hash64 = a.hash64
                WHERE e.intake_id = :intake"""
        ),
    )


_WRITE = {way: _statements(way) for way in (HERE, HERE_KNOWN, *ELSEWHERE.values())}
_FORGET = sa.text("DELETE FROM arriving")
_SAY_MONEY = sa.text(
    """INSERT INTO events.money_field AS m (kind, field) VALUES (:kind, :field)
       ON CONFLICT (kind) DO UPDATE SET field = '' WHERE m.field <> excluded.field"""
)

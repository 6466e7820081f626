"""Lists that were imported: who stands on one, and what is told of a contact when that changes.

A change is told as a field of the contact is (`told_of_list`), so exits and waits that ask for a list hear of it at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.conditions import told_of_list
from carillon.kernel.clock import Micros
from carillon.kernel.problems import did_you_mean, nearest
from carillon.people.contacts import CONTACTS_TURN
from carillon.people.ingest import contact_ids
from carillon.people.reading import Refusal
from carillon.people.shapes import ListRow
from carillon.store import tables as t
from carillon.store.bulk import insert_select, many, many_rows, upsert_select
from carillon.store.engine import Store
from carillon.store.writing import take_turn

ON = "on"
"""What a change says of whoever has come onto a list."""


@dataclass(frozen=True, slots=True)
class PutOnList:
    """Who is on the list by these rows, and the rows that name nobody we know."""

    new: int
    known: int
    refusals: list[Refusal]


def put_on_list(store: Store, name: str, rows: Sequence[ListRow], *, told_at: Micros, source: str) -> PutOnList:
    """Put these people on the list, in one transaction; a row by address means everybody who has it."""
    with store.write("core") as connection:
        take_turn(connection, CONTACTS_TURN)
        ids = contact_ids(connection, {row.shop_id for row in rows if row.shop_id is not None})
        holders = _holders(connection, {row.email for row in rows if row.shop_id is None and row.email is not None})
        found, refusals = set[int](), list[Refusal]()
        for row in rows:
            who = holders.get(row.email or "", ()) if row.shop_id is None else _one(ids.get(row.shop_id))
            found.update(who)
            if not who:
                refusals.append(
                    Refusal(row.row, f"contact: {row.shop_id or row.email!r} is not known, import contacts first")
                )
        new = _put(connection, name, found, told_at, source)
        return PutOnList(new, len(found) - new, refusals)


def keep_only(store: Store, name: str, *, told_at: Micros, source: str) -> int:
    """Take off the list whom the import of that instant did not name; returns how many."""
    with store.write("core") as connection:
        take_turn(connection, CONTACTS_TURN)
        m = t.list_member.c
        gone = sa.and_(m.list == name, m.told_at < told_at)
        _tell(connection, name, sa.select(m.contact_id).where(gone), ON, None, told_at, source)
        return connection.execute(t.list_member.delete().where(gone)).rowcount


def unknown_lists(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """List → what to do about it, of those that nobody stands on: a misspelt one would mean nobody, or with `not` everybody."""
    m = t.list_member.c
    unknown = [
        n for n in sorted(names) if connection.scalar(sa.select(m.contact_id).where(m.list == n).limit(1)) is None
    ]
    if not unknown:
        return {}
    known = list(connection.scalars(sa.select(m.list).distinct().order_by(m.list)))
    return {
        name: did_you_mean(name, known) if nearest(name, known) else f"carillon import list {name} FILE"
        for name in unknown
    }


def _one(contact_id: int | None) -> tuple[int, ...]:
    return () if contact_id is None else (contact_id,)


def _holders(connection: Connection, emails: Collection[str]) -> dict[str, list[int]]:
    c = t.contact.c
    rows = connection.execute(
        sa.select(c.email_key, c.id).where(
            c.email_key.in_(many(emails, str)), c.merged_into.is_(None), c.erased_at.is_(None)
        )
    )
    found = defaultdict[str, list[int]](list)
    for email, contact_id in rows:
        found[email].append(contact_id)
    return found


def _put(connection: Connection, name: str, ids: Collection[int], told_at: Micros, source: str) -> int:
    m, named = t.list_member.c, many_rows(sorted(ids))
    is_on = sa.exists().where(m.list == name, m.contact_id == named.c.value)
    new = _tell(connection, name, sa.select(named.c.value).where(sa.not_(is_on)), None, ON, told_at, source)
    rows: sa.Select[Any] = sa.select(sa.literal(name), named.c.value, sa.literal(told_at, sa.BigInteger()))
    upsert_select(connection, t.list_member, ("list", "contact_id", "told_at"), rows, key=("list", "contact_id"))
    return new


def _tell(
    connection: Connection, name: str, who: sa.Select[Any], old: str | None, new: str | None, at: Micros, source: str
) -> int:
    people = who.subquery("people")
    values = {"at": sa.literal(at, sa.BigInteger()), "field": sa.literal(told_of_list(name)), "old": sa.literal(old, sa.String()),
              "new": sa.literal(new, sa.String()), "source": sa.literal(source)}  # fmt: skip
    rows = sa.select(next(iter(people.c)), *values.values())
    return insert_select(connection, t.contact_change, ("contact_id", *values), rows)

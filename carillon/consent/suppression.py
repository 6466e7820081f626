"""Addresses never written to: hard bounces, complaints, wishes; of the address, whoever has it, not of the contact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.consent.standing import StandingRules, refold
from carillon.consent.suppressed import Suppressed as Suppressed
from carillon.kernel.clock import Micros
from carillon.store import tables as t
from carillon.store.bulk import insert_rows, many, update_rows


def suppress(connection: Connection, rules: StandingRules, rows: Sequence[Suppressed]) -> int:
    """Suppress the addresses and fold whoever has them; returns how many were not suppressed before.

    The first reason stands. An address whose suppression was lifted is suppressed again only by something newer than that.
    """
    latest = {row.address_key: row for row in sorted(rows, key=lambda row: -row.at)}
    known = connection.execute(
        sa.select(t.suppression.c.address_key, t.suppression.c.lifted_at).where(
            t.suppression.c.address_key.in_(many(latest, str))
        )
    ).all()
    lifted = {key: at for key, at in known if at is not None}
    new = [row for key, row in latest.items() if key not in {key for key, _ in known}]
    again = [row for key, row in latest.items() if key in lifted and row.at > lifted[key]]
    insert_rows(connection, t.suppression, Suppressed._fields, new)
    values = [(row.address_key, row.channel, row.reason, row.at, None) for row in again]
    update_rows(connection, t.suppression, ("address_key",), ("channel", "reason", "at", "lifted_at"), values)
    refold(connection, rules, holders(connection, [row.address_key for row in new + again]))
    return len(new) + len(again)


def lift(connection: Connection, rules: StandingRules, address_keys: Iterable[str], *, at: Micros) -> int:
    """End the suppression of these addresses and fold whoever has them; returns how many were suppressed."""
    keys = list(address_keys)
    lifted = connection.execute(
        t.suppression.update()
        .where(t.suppression.c.address_key.in_(many(keys, str)), t.suppression.c.lifted_at.is_(None))
        .values(lifted_at=at)
    ).rowcount
    refold(connection, rules, holders(connection, keys))
    return lifted


def holders(connection: Connection, address_keys: Iterable[str]) -> list[int]:
    """The contacts that have one of these addresses."""
    keys = list(address_keys)
    if not keys:
        return []
    by_column = [
        sa.select(t.contact.c.id).where(column.in_(many(keys, str)))
        for column in (t.contact.c.email_key, t.contact.c.phone_key)
    ]
    return list(connection.execute(sa.union(*by_column)).scalars())

"""Who is meant by the shop's ids: asked once an import, and remembered with the connection while core stands still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t
from carillon.store.bulk import many
from carillon.store.engine import commits_seen

WORTH_IT = 10_000
"""Rows of a commit from which on it pays to remember who is who."""
MOST = 500_000
"""Contacts remembered: a hundred megabytes."""
_KEY = "who is who"


def contact_ids(connection: Connection, shop_ids: Iterable[str]) -> dict[str, int]:
    """The shop's id → ours, of those that are known; a merged contact is the one it was merged into."""
    c = t.contact.c
    rows = connection.execute(
        sa.select(c.shop_id, sa.func.coalesce(c.merged_into, c.id)).where(c.shop_id.in_(many(shop_ids, str)))
    )
    return {shop_id: contact_id for shop_id, contact_id in rows}


def remembered_ids(
    connection: Connection, n: int, columns: Iterable[Sequence[str]]
) -> list[list[int | None]] | None:  # fmt: skip
    """Ours for each of `n` ids of the shop, column by column, None where there is none; None where the store is to join.

    The customers of a file come again and again. On SQLite each of them is a search by text in an index and one for the
    row; PostgreSQL hashes all contacts at once.
    """
    if n < WORTH_IT or (version := commits_seen(connection, "core")) is None:
        return None
    seen, known = connection.info.get(_KEY, (None, {}))
    if seen != version or len(known) > MOST:
        known = {}
    connection.info[_KEY] = (version, known)
    found: list[list[int | None]] = []
    strange: dict[int, Sequence[str]] = {}
    for shop_ids in columns:
        ids = list(map(known.get, shop_ids))
        if None in ids:
            strange[len(found)] = shop_ids
        found.append(ids)
    asked = {who for k, shop_ids in strange.items() for who, one in zip(shop_ids, found[k], strict=True) if one is None}
    known.update(contact_ids(connection, asked) if asked else {})
    for k, shop_ids in strange.items():
        found[k] = list(map(known.get, shop_ids))
    return found

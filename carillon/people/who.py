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


def remembered_ids(connection: Connection, shop_ids: Sequence[str]) -> Sequence[int | None] | None:
    """Ours for each of the shop's ids, None where there is none; None for all where the store is to join them itself.

    The customers of a file come again and again. On SQLite each of them is a search by text in an index and one for the
    row; PostgreSQL hashes all contacts at once.
    """
    if len(shop_ids) < WORTH_IT or (version := commits_seen(connection, "core")) is None:
        return None
    seen, known = connection.info.get(_KEY, (None, {}))
    if seen != version or len(known) > MOST:
        known = {}
    known.update(contact_ids(connection, set(shop_ids) - known.keys()))
    connection.info[_KEY] = (version, known)
    return list(map(known.get, shop_ids))

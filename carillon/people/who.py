"""Who is meant by the shop's ids: asked once an import, and remembered with the connection while core stands still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.people.sent import Sent
from carillon.store import tables as t
from carillon.store.bulk import many
from carillon.store.engine import commits_seen
from carillon.store.staging import fill, stage

WORTH_IT = 10_000
"""Rows of a commit from which on it pays to remember who is who."""
MOST = 500_000
"""Contacts remembered: a hundred megabytes."""
_KEY, _NUMBERED = "who is who", "who has which number"
_WHO = sa.select(t.contact.c.shop_id, sa.func.coalesce(t.contact.c.merged_into, t.contact.c.id))


def contact_ids(connection: Connection, shop_ids: Iterable[str]) -> dict[str, int]:
    """The shop's id → ours, of those that are known; a merged contact is the one it was merged into."""
    c = t.contact.c
    rows = connection.execute(_WHO.where(c.shop_id.in_(many(shop_ids, str))))
    return {shop_id: contact_id for shop_id, contact_id in rows}


@dataclass(slots=True)
class _Known:
    """Who is who while core stands at one version."""

    version: int
    by_id: dict[str, int]
    is_all: bool
    """Whoever is not there is not known."""


@dataclass(slots=True)
class _Numbered:
    """Whose numbers stand in the temporary table `who` while core stands at one version."""

    version: int
    shop_ids: list[str]
    n: int = 0
    has_strangers: bool = False


def remembered_ids(
    connection: Connection, n: int, columns: Iterable[Sequence[str]]
) -> list[list[int | None]] | None:  # fmt: skip
    """Ours for each of `n` ids of the shop, column by column, None where there is none; None where the store is to join.

    The customers of a file come again and again. On SQLite each of them is a search by text in an index and one for the
    row; PostgreSQL hashes all contacts at once.
    """
    if n < WORTH_IT or (version := commits_seen(connection, "core")) is None:
        return None
    known = _known(connection, version, n)
    return [_by_id(connection, known, one) for one in columns]


def number_contacts(connection: Connection, sent: Sent) -> bool:
    """In the temporary table `who`: ours for each number of the sent events' customers, and the shop's id of strangers.

    Returns whether there are strangers.
    """
    version = commits_seen(connection, "core") or 0
    there = connection.info.get(_NUMBERED)
    if there is None or there.version != version or there.shop_ids is not sent.shop_ids:
        there = connection.info[_NUMBERED] = _Numbered(version, sent.shop_ids)
        stage(connection, "who", "number INTEGER PRIMARY KEY, contact_id BIGINT, shop_id TEXT")
    fresh = sent.shop_ids[there.n :]
    ids = _by_id(connection, _known(connection, version, max(sent.n, len(fresh))), fresh)
    strangers = (shop_id if found is None else None for shop_id, found in zip(fresh, ids, strict=True))
    numbers = range(there.n, len(sent.shop_ids))
    fill(connection, "who", ("number", "contact_id", "shop_id"), zip(numbers, ids, strangers, strict=True))
    there.n, there.has_strangers = len(sent.shop_ids), there.has_strangers or None in ids
    return there.has_strangers


def _known(connection: Connection, version: int, n: int) -> _Known:
    known: _Known | None = connection.info.get(_KEY)
    if known is None or known.version != version or len(known.by_id) > MOST:
        known = connection.info[_KEY] = _anew(connection, version, n)
    return known


def _anew(connection: Connection, version: int, n: int) -> _Known:
    """Everybody, where they are not many more than the rows: read in their order they cost a tenth of being looked up."""
    newest = connection.scalar(sa.select(sa.func.max(t.contact.c.id))) or 0
    if newest > min(2 * n, MOST):
        return _Known(version, {}, is_all=False)
    return _Known(version, {shop_id: found for shop_id, found in connection.execute(_WHO)}, is_all=True)


def _by_id(connection: Connection, known: _Known, shop_ids: Sequence[str]) -> list[int | None]:
    ids = list(map(known.by_id.get, shop_ids))
    if not known.is_all and None in ids:
        asked = {shop_id for shop_id, found in zip(shop_ids, ids, strict=True) if found is None}
        known.by_id |= contact_ids(connection, asked)
        ids = list(map(known.by_id.get, shop_ids))
    return ids

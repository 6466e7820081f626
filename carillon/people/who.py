"""Who is meant by the shop's ids: asked once an import, and remembered with the connection while core stands still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
class Known:
    """Who is who while core stands at one version."""

    version: int
    by_id: dict[str, int]
    is_all: bool
    """Whoever is not there is not known."""
    unmerged: Mapping[str, int]
    """Of all: those who are themselves."""


@dataclass(slots=True)
class _Numbered:
    """Whose numbers stand in the temporary table `who` while core stands at one version."""

    version: int
    others: list[str]
    known: Known | None
    """Those whose numbers are ours, and still true: they need not stand there."""
    n: int = 0
    """Others who stand there."""
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


def remember(connection: Connection, n: int) -> Known:
    """Who is who now, for the numbers of `n` events that are read elsewhere (SQLite)."""
    return _known(connection, commits_seen(connection, "core") or 0, n)


def number_contacts(connection: Connection, sent: Sent) -> tuple[bool, bool]:
    """In the temporary table `who`: ours for each number of the sent events' customers, and the shop's id of strangers.

    Returns whether numbers above zero are ours, and so do not stand there; and whether there are strangers.
    """
    version = commits_seen(connection, "core") or 0
    are_ours = sent.known is connection.info.get(_KEY) and sent.known is not None and sent.known.version == version
    there = connection.info.get(_NUMBERED)
    known = sent.known if are_ours else None
    if there is None or there.version != version or there.others is not sent.shop_ids or there.known is not known:
        there = connection.info[_NUMBERED] = _Numbered(version, sent.shop_ids, known)
        stage(connection, "who", "number INTEGER PRIMARY KEY, contact_id BIGINT, shop_id TEXT")
        if sent.known is not None and not are_ours:
            given = sent.known.unmerged
            _put_who(connection, there, sent.n, list(given), given.values())
    _put_who(connection, there, sent.n, sent.shop_ids[there.n :], range(-there.n - 1, -len(sent.shop_ids) - 1, -1))
    there.n = len(sent.shop_ids)
    return are_ours, there.has_strangers


def _put_who(
    connection: Connection, there: _Numbered, n: int, shop_ids: Sequence[str], numbers: Iterable[int]
) -> None:  # fmt: skip
    ids = _by_id(connection, _known(connection, there.version, max(n, len(shop_ids))), shop_ids)
    strangers = (shop_id if found is None else None for shop_id, found in zip(shop_ids, ids, strict=True))
    fill(connection, "who", ("number", "contact_id", "shop_id"), zip(numbers, ids, strangers, strict=True))
    there.has_strangers = there.has_strangers or None in ids


def _known(connection: Connection, version: int, n: int) -> Known:
    known: Known | None = connection.info.get(_KEY)
    if known is None or known.version != version or len(known.by_id) > MOST:
        known = connection.info[_KEY] = _anew(connection, version, n)
    return known


def _anew(connection: Connection, version: int, n: int) -> Known:
    """Everybody, where they are not many more than the rows: read in their order they cost a tenth of being looked up."""
    newest = connection.scalar(sa.select(sa.func.max(t.contact.c.id))) or 0
    if newest > min(2 * n, MOST):
        return Known(version, {}, False, {})
    by_id = {shop_id: found for shop_id, found in connection.execute(_WHO)}
    merged = set(connection.scalars(sa.select(t.contact.c.shop_id).where(t.contact.c.merged_into.is_not(None))))
    unmerged = {shop_id: found for shop_id, found in by_id.items() if shop_id not in merged} if merged else by_id
    return Known(version, by_id, True, unmerged)


def _by_id(connection: Connection, known: Known, shop_ids: Sequence[str]) -> list[int | None]:
    ids = list(map(known.by_id.get, shop_ids))
    if not known.is_all and None in ids:
        asked = {shop_id for shop_id, found in zip(shop_ids, ids, strict=True) if found is None}
        known.by_id |= contact_ids(connection, asked)
        ids = list(map(known.by_id.get, shop_ids))
    return ids

"""Where a click leads: the links of the content that this send was made from, and nowhere else."""

from __future__ import annotations

from functools import lru_cache

import sqlalchemy as sa

from carillon.kernel.tokens import Keyring, Token
from carillon.messages.links import resolve
from carillon.store import tables as t
from carillon.store.engine import Store

_LINKS_OF_SEND = (
    sa.select(t.content.c.id, t.content.c.links)
    .join_from(t.send, t.batch, t.batch.c.id == t.send.c.batch_id)
    .join(
        t.node_content,
        sa.and_(
            t.node_content.c.node_id == t.send.c.node_id,
            t.node_content.c.arm == t.send.c.arm,
            t.node_content.c.channel == t.batch.c.channel,
            t.node_content.c.language == t.batch.c.language,
        ),
    )
    .join(t.content, t.content.c.id == t.node_content.c.content_id)
    .where(t.send.c.node_id == sa.bindparam("node"), t.send.c.enrolment_id == sa.bindparam("enrolment"))
)


class LinkTable:
    """Targets of clicks, with the links of recent sends kept in memory: who clicks once often clicks again."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._links = lru_cache(maxsize=4096)(self._read)

    def target(self, token: Token, n: int, to: str | None) -> str | None:
        """The URL of link `n` of this send, or None where we never wrote one there."""
        links = self._links(token.node, token.enrolment)
        return None if links is None else resolve(links, n, to, self._keyring)

    def _read(self, node: int, enrolment: int) -> str | None:
        with self._store.read() as connection:
            row = connection.execute(_LINKS_OF_SEND, {"node": node, "enrolment": enrolment}).first()
        return None if row is None else str(row.links)

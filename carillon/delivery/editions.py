"""Which texts a person gets: the newest applied ones, or with `messages: as_entered` those that stood when they entered.

An edition of a step is what `apply` changed of its texts at one instant. A batch has one edition; without one it is built
from the newest texts when it is handed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.model import ReadyBatch
from carillon.kernel.clock import Micros
from carillon.store import tables as t

NEWEST: Micros = 0
"""The edition of whoever gets what is newest at the moment of hand-over."""

TextKey = tuple[int, str, str, str, Micros]
"""Node, arm, channel, language, edition."""


def key_of(batch: ReadyBatch) -> TextKey:
    """The texts that a batch is built from."""
    return batch.node_id, batch.arm, batch.channel.value, batch.language, batch.texts_at or NEWEST


def editions_of(connection: Connection, node_id: int) -> Sequence[Micros]:
    """The instants at which the texts of a step were applied or changed, the oldest first."""
    ed = t.edition.c
    return connection.scalars(
        sa.select(ed.applied_at).where(ed.node_id == node_id).distinct().order_by(ed.applied_at)
    ).all()


def as_entered(editions: Sequence[Micros], enrolment_id: sa.ColumnElement[int]) -> sa.ColumnElement[Micros]:
    """The newest edition that stood when the enrolment entered; of a step that came later its oldest one."""
    if not editions:
        return sa.literal(NEWEST, sa.BigInteger())
    e = t.enrolment.c
    newer = [(e.entered_at >= at, sa.literal(at, sa.BigInteger())) for at in reversed(editions[1:])]
    oldest = sa.literal(editions[0], sa.BigInteger())
    stood = sa.case(*newer, else_=oldest) if newer else oldest
    return sa.select(stood).where(e.id == enrolment_id).scalar_subquery()


def content_ids(connection: Connection, wanted: Iterable[TextKey]) -> dict[TextKey, int]:
    """The contents of these texts; a language or arm that came after the edition has its oldest one."""
    keys = set(wanted)
    newest, kept = _newest(connection, keys), _kept(connection, keys)
    found = {}
    for key in keys:
        place, texts_at = key[:4], key[4]
        if texts_at == NEWEST:
            found[key] = newest.get(place)
        elif editions := kept.get(place):
            found[key] = next((content for at, content in reversed(editions) if at <= texts_at), editions[0][1])
    return {key: content for key, content in found.items() if content is not None}


_Place = tuple[int, str, str, str]


def _newest(connection: Connection, keys: Iterable[TextKey]) -> dict[_Place, int]:
    c = t.node_content.c
    nodes = sorted({key[0] for key in keys})
    rows = connection.execute(
        sa.select(c.node_id, c.arm, c.channel, c.language, c.content_id).where(c.node_id.in_(nodes))
    )
    return {(node, arm, channel, language): content for node, arm, channel, language, content in rows}


def _kept(connection: Connection, keys: Iterable[TextKey]) -> dict[_Place, list[tuple[Micros, int]]]:
    c = t.edition.c
    nodes = sorted({key[0] for key in keys if key[4] != NEWEST})
    if not nodes:
        return {}
    rows = connection.execute(
        sa.select(c.node_id, c.arm, c.channel, c.language, c.applied_at, c.content_id)
        .where(c.node_id.in_(nodes))
        .order_by(c.node_id, c.arm, c.channel, c.language, c.applied_at)
    ).tuples()
    return {
        place: [(at, content) for *_, at, content in its]
        for place, its in ((tuple(k), list(g)) for k, g in groupby(rows, itemgetter(0, 1, 2, 3)))
    }

"""Who is due at a message, and the slices in which they are decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.journey.ground import Ground
from carillon.plan.model import MessageNode
from carillon.store import tables as t

SLICE = 100_000
"""Enrolments decided in one transaction: bounds the memory of a run and the time others wait for the ledger."""
DENSE = 4 * SLICE
"""Enrolments whose numbers lie so close together are found by their place."""


@dataclass(frozen=True, slots=True)
class Slice:
    """People whose enrolments have these numbers, the first and the last."""

    first: int
    last: int

    @property
    def is_dense(self) -> bool:
        """Its place finds it faster than what all of the campaign have in common."""
        return self.last - self.first < DENSE

    @property
    def bounds(self) -> Mapping[str, int]:
        """The values of the statements that are about one slice."""
        return {"first_of_slice": self.first, "last_of_slice": self.last}


def of_slice() -> sa.ColumnElement[bool]:
    """The enrolments of the slice whose `bounds` the statement is executed with."""
    first, last = (sa.bindparam(name, type_=sa.BigInteger()) for name in ("first_of_slice", "last_of_slice"))
    return sa.and_(t.enrolment.c.id >= first, t.enrolment.c.id <= last)


def due(ground: Ground, version_id: int, node: MessageNode, *, is_dense: bool = False) -> sa.ColumnElement[bool]:
    """Who stands at the message, is due and not decided; `is_dense` where a slice that is bounds it."""
    e, node_id = t.enrolment.c, ground.applied.nodes[node.id]
    # A look-up a person: as an anti-join PostgreSQL, before it knows of the sends, read all of the node for each.
    sent = sa.select(sa.literal(1)).where(t.send.c.node_id == node_id, t.send.c.enrolment_id == e.id)
    # `+ 0` hides the indexes of what all of the campaign have in common: each slice would read the whole of them.
    stands_at, its_campaign = (e.node_id + 0, e.campaign_id + 0) if is_dense else (e.node_id, e.campaign_id)
    return sa.and_(
        stands_at == node_id, e.state == "live", e.due_at <= ground.now, its_campaign == ground.applied.id,
        e.version_id == version_id, sent.correlate(t.enrolment).scalar_subquery().is_(None), ground.gate(version_id),
    )  # fmt: skip


def slices(connection: Connection, ground: Ground, version_id: int, node: MessageNode, most: int) -> list[Slice]:
    """The slices in which somebody is to be decided, of about so many people at most."""
    e = t.enrolment.c
    # Of those who stand here runs of numbers are counted: who of them is due is asked in the slice, where it is needed.
    here = _here(ground, node, version_id)
    last = sa.func.max(e.id)
    runs = (
        sa.select(sa.func.min(e.id), last, sa.func.count())
        .where(here)
        .group_by(e.id // max(most // 10, 1))
        .order_by(last)
    )
    return [
        one
        for one in _full(connection.execute(runs).all(), most)
        if connection.scalar(_somebody(due(ground, version_id, node, is_dense=one.is_dense), of_slice()), one.bounds)
    ]


def undecided(connection: Connection, ground: Ground, *, more_than: int) -> dict[str, int]:
    """The messages at which more people than that are due and not decided, with about their number."""
    found: dict[str, int] = {}
    for version_id, plan in ground.applied.versions.items():
        for node in plan.ways:
            n = _standing(connection, ground, node)
            if n > more_than and connection.scalar(_somebody(due(ground, version_id, node))):
                found[node.id] = n
    return found


def _standing(connection: Connection, ground: Ground, node: MessageNode) -> int:
    b = t.batch.c
    here = sa.select(sa.func.count()).select_from(t.enrolment).where(_here(ground, node, *ground.applied.versions))
    under_way = sa.and_(b.node_id == ground.applied.nodes[node.id], b.state.in_(("ready", "claimed", "unsure")))
    in_batches = connection.scalar(sa.select(sa.func.sum(b.n)).where(under_way))
    return int(connection.scalar(here) or 0) - int(in_batches or 0)


def _here(ground: Ground, node: MessageNode, *versions: int) -> sa.ColumnElement[bool]:
    e, node_id = t.enrolment.c, ground.applied.nodes[node.id]
    return sa.and_(e.node_id == node_id, e.version_id.in_(versions), e.state == "live", e.due_at <= ground.now)


def _somebody(*where: sa.ColumnElement[bool]) -> sa.Select[tuple[bool]]:
    return sa.select(sa.exists(sa.select(t.enrolment.c.id).where(*where)))


def _full(runs: Iterable[tuple[int, int, int] | sa.Row[tuple[int, int, int]]], most: int) -> Iterator[Slice]:
    """Slices of so many runs as go into one."""
    people, begin, end = 0, 0, None
    for first, last, n in runs:
        if end is not None and people + n > most:
            yield Slice(begin, end)
            people, end = 0, None
        if end is None:
            begin = first
        people, end = people + n, last
    if end is not None:
        yield Slice(begin, end)

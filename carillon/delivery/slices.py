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
CLOSE = 4
"""Where one of so many numbers stands at the message nobody counts where they lie, and their place finds them."""


@dataclass(frozen=True, slots=True)
class Slice:
    """So many people whose enrolments have these numbers, the first and the last."""

    people: int
    first: int
    last: int

    @property
    def is_dense(self) -> bool:
        """Its place finds it faster than what all of the campaign have in common."""
        return self.last - self.first < self.people * CLOSE

    @property
    def bounds(self) -> Mapping[str, int]:
        """The values of the statements that are about one slice."""
        return {"first_of_slice": self.first, "last_of_slice": self.last}


def of_slice() -> sa.ColumnElement[bool]:
    """The enrolments of the slice whose `bounds` the statement is executed with."""
    first, last = (sa.bindparam(name, type_=sa.BigInteger()) for name in ("first_of_slice", "last_of_slice"))
    return sa.and_(t.enrolment.c.id >= first, t.enrolment.c.id <= last)


def due(
    ground: Ground, version_id: int, node: MessageNode, *, is_dense: bool = False, is_fresh: bool = False
) -> sa.ColumnElement[bool]:
    """Who stands at the message, is due and not decided; `is_dense` where a slice that is bounds it, `is_fresh` where
    nobody of it was decided before.
    """
    e, node_id, campaign_id = t.enrolment.c, ground.applied.nodes[node.id], ground.applied.id
    here = [e.node_id == node_id, e.campaign_id == campaign_id, e.state == "live"]
    if is_dense:
        # Hidden from the indexes of what all of the campaign have in common: each slice would read the whole of them.
        here = [e.node_id + 0 == node_id, e.campaign_id + 0 == campaign_id, sa.func.coalesce(e.state, "") == "live"]
    if not is_fresh:
        # A look-up a person: as an anti-join PostgreSQL, before it knows of the sends, read all of the node for each.
        sent = sa.select(sa.literal(1)).where(t.send.c.node_id == node_id, t.send.c.enrolment_id == e.id)
        here.append(sent.correlate(t.enrolment).scalar_subquery().is_(None))
    return sa.and_(*here, e.due_at <= ground.now, e.version_id == version_id, ground.gate(version_id))


def is_fresh(connection: Connection, node_id: int, one: Slice) -> bool:
    """Nobody of the slice was decided at this message before."""
    s = t.send.c
    decided = sa.select(s.node_id).where(s.node_id == node_id, s.enrolment_id >= one.first, s.enrolment_id <= one.last)
    return not connection.scalar(sa.select(sa.exists(decided)))


def slices(connection: Connection, ground: Ground, version_id: int, node: MessageNode, most: int) -> list[Slice]:
    """The slices in which somebody is to be decided, of about so many people at most."""
    # Of those who stand here numbers are counted: who of them is due is asked in the slice, where it is needed.
    here = _here(ground, node, version_id)
    return [
        one
        for one in _counted(connection, here, most)
        if connection.scalar(_somebody(due(ground, version_id, node, is_dense=one.is_dense), of_slice()), one.bounds)
    ]


def undecided(connection: Connection, ground: Ground, *, more_than: int) -> dict[str, int]:
    """The messages at which more people than that are due and not decided, with about their number."""
    standing = _standing(connection, ground)
    found: dict[str, int] = {}
    for version_id, plan in ground.applied.versions.items():
        for node in plan.ways:
            n = standing.get(ground.applied.nodes[node.id], 0)
            if n <= more_than or (n := n - _in_batches(connection, ground, node)) <= more_than:
                continue
            if connection.scalar(_somebody(due(ground, version_id, node))):
                found[node.id] = n
    return found


def _standing(connection: Connection, ground: Ground) -> dict[int, int]:
    """Node of a message → who stands there and is due, decided or not."""
    e, versions = t.enrolment.c, ground.applied.versions
    nodes = {ground.applied.nodes[node.id] for plan in versions.values() for node in plan.ways}
    here = sa.and_(e.node_id.in_(nodes), e.version_id.in_(versions), e.state == "live", e.due_at <= ground.now)
    rows = connection.execute(sa.select(e.node_id, sa.func.count()).where(here).group_by(e.node_id))
    return dict(rows.tuples().all())


def _in_batches(connection: Connection, ground: Ground, node: MessageNode) -> int:
    b = t.batch.c
    under_way = sa.and_(b.node_id == ground.applied.nodes[node.id], b.state.in_(("ready", "claimed", "unsure")))
    return int(connection.scalar(sa.select(sa.func.sum(b.n)).where(under_way)) or 0)


def _here(ground: Ground, node: MessageNode, version_id: int) -> sa.ColumnElement[bool]:
    e, node_id = t.enrolment.c, ground.applied.nodes[node.id]
    return sa.and_(e.node_id == node_id, e.version_id == version_id, e.state == "live", e.due_at <= ground.now)


def _somebody(*where: sa.ColumnElement[bool]) -> sa.Select[tuple[bool]]:
    return sa.select(sa.exists(sa.select(t.enrolment.c.id).where(*where)))


def _counted(connection: Connection, here: sa.ColumnElement[bool], most: int) -> Iterable[Slice]:
    id = t.enrolment.c.id
    count, least, last = sa.func.count(), sa.func.min(id), sa.func.max(id)
    n, begin, end = connection.execute(sa.select(count, least, last).where(here)).one()
    if n and end - begin < n * CLOSE:
        return [Slice(most, first, min(first + most - 1, end)) for first in range(begin, end + 1, most)]
    runs = sa.select(least, last, count).where(here).group_by(id // max(most // 10, 1)).order_by(last)
    return _full(connection.execute(runs).all(), most)


def _full(runs: Iterable[tuple[int, int, int] | sa.Row[tuple[int, int, int]]], most: int) -> Iterator[Slice]:
    """Slices of so many runs as go into one."""
    people, begin, end = 0, 0, None
    for first, last, n in runs:
        if end is not None and people + n > most:
            yield Slice(people, begin, end)
            people, end = 0, None
        if end is None:
            begin = first
        people, end = people + n, last
    if end is not None:
        yield Slice(people, begin, end)

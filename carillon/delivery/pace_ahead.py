"""How long a hand-over will take at the workspace's pace: the bucket of the run, asked ahead of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.limits import Pace
from carillon.delivery.pace import ONE, Bucket, burst, grown
from carillon.kernel.clock import DAY, Micros
from carillon.store.tables import batch, pace

FARTHEST: Micros = 366 * DAY
"""Who would wait longer than this is told so, and no instant."""


@dataclass(frozen=True, slots=True)
class PaceAhead:
    """What a pace makes of people who fall due."""

    first: Micros
    last: Micros | None
    """When the last batch may leave; None: not within a year."""
    ahead: int
    """People who are ready at the connector already and leave before them."""


def pace_ahead(
    connection: Connection, connector: str, its: Pace, due: Iterable[tuple[Micros, int]], most: int, now: Micros
) -> PaceAhead | None:
    """When the first and the last of these people (due instant → how many, in order) may leave; None without people.

    Who is ready at the connector already goes first. Nothing else is taken to come between.
    """
    row = connection.execute(sa.select(pace).where(pace.c.connector == connector)).one_or_none()
    waiting = sa.select(sa.func.sum(batch.c.n)).where(batch.c.connector == connector, batch.c.state == "ready")
    ahead = int(connection.scalar(waiting) or 0)
    tokens, at, warm_since = (
        (burst(its.n, its.per_s) * ONE, now, None) if row is None else (row.tokens, row.at, row.warm_since)
    )
    walk = _Walk(connector, its, tokens, at, warm_since, now)
    size = min(most, burst(its.n, its.per_s))
    walk.hand_over(now, ahead, size)
    first: Micros | None = None
    for due_at, people in due:
        began = walk.hand_over(max(due_at, now), people, size)
        first = began if first is None else first
    if first is None:
        return None
    return PaceAhead(first, None if walk.now > now + FARTHEST else walk.now, ahead)


@dataclass(slots=True)
class _Walk:
    connector: str
    its: Pace
    tokens: int
    at: Micros
    warm_since: Micros | None
    now: Micros

    def hand_over(self, due_at: Micros, people: int, size: int) -> Micros:
        """Batches of this size, one when the bucket lets it; when the first of them leaves."""
        self.now = max(self.now, due_at)
        latest, first, left = self.now + FARTHEST, None, people
        while left > 0 and self.now <= latest:
            self._batch(min(size, left))
            left -= min(size, left)
            first = self.now if first is None else first
        return self.now if first is None else first

    def _batch(self, people: int) -> None:
        if self.warm_since is None and self.its.grow is not None:
            self.warm_since = self.now
        while not (bucket := self._bucket()).take(people):
            self.now += bucket.wait(people)
        self.tokens, self.at = bucket.tokens, self.now

    def _bucket(self) -> Bucket:
        bucket = Bucket(self.connector, grown(self.its, self.warm_since, self.now), self.its.per_s, 0)
        bucket.fill(self.tokens, self.at, self.now)
        return bucket

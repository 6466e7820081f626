"""Pace: a token bucket a connector, in machine time, in the ledger: all workers share it.

A batch is taken into hand when the bucket holds its people, or is full; what it takes beyond leaves a debt. So no minute
holds more than the pace and one batch, and a changed pace holds for the next batch. Taken and not handed over is lost:
too slow is a delay, too fast a blocked sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.limits import Pace
from carillon.kernel.clock import DAY, MINUTE, SECOND, Micros
from carillon.plan.applied import RULES
from carillon.plan.compile import rules_from_json
from carillon.plan.rules import Rules
from carillon.store.tables import pace, setting
from carillon.store.writing import put_row

ONE = 1_000_000
"""A person in the bucket: tokens are counted in millionths, as time is in microseconds."""

PACED = "waits for the pace of its connector"
"""The note of a ready batch that the bucket held back until its `retry_at`."""
RESTING = "waits while its connector rests"
"""The note of the next batch of a connector whose provider asked for a pause, or is away."""


@dataclass(slots=True)
class Bucket:
    """What a connector may take now."""

    connector: str
    n: int
    per_s: int
    tokens: int

    @property
    def size(self) -> int:
        """The most that it holds: a sixtieth of the unit written, so that `2000/d` comes in handfuls, not one by one."""
        return burst(self.n, self.per_s) * ONE

    def take(self, people: int) -> bool:
        """Whether so many may go now; if so they are taken."""
        if self.tokens < min(people * ONE, self.size):
            return False
        self.tokens -= people * ONE
        return True

    def fill(self, tokens: int, at: Micros, now: Micros) -> None:
        """What it holds now, if it held so much then."""
        self.tokens = min(self.size, tokens + max(0, now - at) * self.n // self.per_s)

    def wait(self, people: int) -> Micros:
        """How long until so many may go."""
        missing = min(people * ONE, self.size) - self.tokens
        return max(1, -(-missing * self.per_s // self.n))


def grown(its: Pace, warm_since: Micros | None, now: Micros) -> int:
    """How many a pace allows on this day of its warming up."""
    if its.grow is None:
        return its.n
    return int(its.n * its.grow ** ((now - (now if warm_since is None else warm_since)) // DAY))


def burst(n: int, per_s: int) -> int:
    """How many may leave at once under a pace."""
    return max(1, n if per_s == 1 else n // 60)


def batch_size(rules: Rules, channel: str, most: int) -> int:
    """How many people a batch holds: no more than may leave at once."""
    its = next((one for of, one in rules.limits.pace.items() if of == channel), None)
    return most if its is None else min(most, burst(its.n, its.per_s))


def paces(connection: Connection) -> Mapping[str, Pace]:
    """Connector → its pace, as applied last: a worker must not hand over by what was true when it began."""
    text = connection.scalar(_APPLIED)
    return {} if text is None else _paces(text)


_APPLIED = sa.select(setting.c.value).where(setting.c.name == RULES)


@lru_cache(maxsize=4)
def _paces(text: str) -> Mapping[str, Pace]:
    rules = rules_from_json(text)
    of = {str(channel): its for channel, its in rules.limits.pace.items()}
    return {sender.connector: of[sender.channel] for sender in rules.senders if sender.channel in of}


def open_bucket(connection: Connection, connector: str, its: Pace | None, now: Micros, brake: int | None) -> Bucket:
    """The bucket as filled by now; hold it in this transaction until `close_bucket`.

    Its pace is the slower of what was applied and of what a provider's 429 left, people a minute.
    """
    braked = None if brake is None else Pace(brake, MINUTE // SECOND)
    its = its or braked
    if its is None:
        raise ValueError(f"{connector} has no pace")
    full = {"tokens": burst(its.n, its.per_s) * ONE, "at": now}
    put_row(connection, pace, {"connector": connector}, full, only_over=sa.false())  # made where it is missing
    row = connection.execute(
        sa.select(pace.c.tokens, pace.c.at, pace.c.warm_since).where(pace.c.connector == connector).with_for_update()
    ).one()
    n = grown(its, row.warm_since, now)
    if its.grow is not None:
        connection.execute(
            pace.update().where(pace.c.connector == connector, pace.c.warm_since.is_(None)).values(warm_since=now)
        )
    bucket = Bucket(connector, n, its.per_s, 0)
    if braked is not None and braked.n * its.per_s < n * braked.per_s:
        bucket = Bucket(connector, braked.n, braked.per_s, 0)
    bucket.fill(row.tokens, row.at, now)
    return bucket


def close_bucket(connection: Connection, bucket: Bucket, now: Micros) -> None:
    """Write down what is left in it."""
    left = pace.update().where(pace.c.connector == bucket.connector)
    connection.execute(left.values(tokens=bucket.tokens, at=now))

"""The lease of an advance: one run a campaign at a time, in machine time, taken over when its holder is gone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from carillon.kernel.clock import MINUTE, Clock, Micros
from carillon.kernel.worker import is_gone, worker_id
from carillon.store import tables as t
from carillon.store.engine import Store, rowcount
from carillon.store.writing import put_row

LEASE: Micros = 10 * MINUTE
FRESH: Micros = LEASE // 20
"""What was renewed so lately needs no renewal."""


class AlreadyRunning(Exception):
    """Another process advances this campaign now."""


_numbers = itertools.count(1)


@dataclass(slots=True)
class Held:
    """A lease that is ours; what takes long renews it on its way."""

    store: Store
    name: str
    holder: str
    machine_clock: Clock
    until: Micros

    def renew(self) -> None:
        """Hold it for most of its length from now on; raises AlreadyRunning where it lapsed and another took it."""
        now, row = self.machine_clock.now(), t.lease.c
        mine = sa.and_(row.name == self.name, row.holder == self.holder)
        if now <= self.until - LEASE + FRESH:
            with self.store.read() as connection:  # who would write here stands in line behind all that is decided
                is_mine = connection.scalar(sa.select(sa.exists().where(mine)))
        else:
            with self.store.write("ledger") as connection:
                renewed = t.lease.update().where(mine).values(until=now + LEASE)
                is_mine = rowcount(connection.execute(renewed)) > 0
            self.until = now + LEASE
        if not is_mine:
            raise AlreadyRunning(self.name)


@contextmanager
def lease(store: Store, name: str, machine_clock: Clock) -> Iterator[Held]:
    """Hold the named lease for the body; raises AlreadyRunning while another holds it, in this process or another."""
    me = f"{worker_id()}/{next(_numbers)}"
    now = machine_clock.now()
    if not _take(store, name, me, now):
        raise AlreadyRunning(name)
    try:
        yield Held(store, name, me, machine_clock, now + LEASE)
    finally:
        with store.write("ledger") as connection:
            connection.execute(t.lease.delete().where(t.lease.c.name == name, t.lease.c.holder == me))


def _take(store: Store, name: str, me: str, now: Micros) -> bool:
    row = t.lease.c
    with store.write("ledger") as connection:
        holder = connection.scalar(sa.select(row.holder).where(row.name == name))
        free = row.until <= now
        if holder is not None and is_gone(holder):
            free = row.holder == holder
        taken = {"holder": me, "until": now + LEASE}
        return bool(put_row(connection, t.lease, {"name": name}, taken, only_over=free))


def lease_holder(store: Store, name: str, machine_clock: Clock) -> str | None:
    """The live process that holds the lease now, or None."""
    row = t.lease.c
    with store.read() as connection:
        found = connection.execute(sa.select(row.holder, row.until).where(row.name == name)).one_or_none()
    if found is None or found.until <= machine_clock.now() or is_gone(found.holder):
        return None
    return str(found.holder)

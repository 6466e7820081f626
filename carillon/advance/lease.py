"""The lease of an advance: one run a campaign at a time, in machine time, taken over when its holder is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from carillon.kernel.clock import MINUTE, Clock, Micros
from carillon.store import tables as t
from carillon.store.engine import Store, rowcount

LEASE: Micros = 10 * MINUTE


class AlreadyRunning(Exception):
    """Another process advances this campaign now."""


def this_process() -> str:
    """Names this process for ever: boot, pid and start time, so that a recycled pid is not taken for it."""
    process = psutil.Process()
    return f"{int(psutil.boot_time())}:{os.getpid()}:{int(process.create_time() * 100)}"


def is_gone(holder: str) -> bool:
    """The holder ran on this boot of this machine and its process exists no more."""
    boot, pid, started = (int(part) for part in holder.split(":"))
    if boot != int(psutil.boot_time()):
        return False
    try:
        return int(psutil.Process(pid).create_time() * 100) != started
    except psutil.NoSuchProcess:
        return True


@contextmanager
def lease(store: Store, name: str, machine_clock: Clock) -> Iterator[None]:
    """Hold the named lease for the body; raises AlreadyRunning while another live process holds it."""
    me = this_process()
    if not _take(store, name, me, machine_clock.now()):
        raise AlreadyRunning(name)
    try:
        yield
    finally:
        with store.write("ledger") as connection:
            connection.execute(t.lease.delete().where(t.lease.c.name == name, t.lease.c.holder == me))


def _take(store: Store, name: str, me: str, now: Micros) -> bool:
    row = t.lease.c
    with store.write("ledger") as connection:
        holder = connection.scalar(sa.select(row.holder).where(row.name == name))
        free = row.until <= now
        if holder is not None and (holder == me or is_gone(holder)):
            free = row.holder == holder
        insert = pg_insert if store.dialect == "postgresql" else sqlite_insert
        statement = insert(t.lease).values(name=name, holder=me, until=now + LEASE)
        return bool(
            rowcount(
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["name"], set_={"holder": me, "until": now + LEASE}, where=free
                    )
                )
            )
        )

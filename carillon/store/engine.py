"""One store, three parts: the only place that knows whether SQLite or PostgreSQL is below.

A connection sees all parts under the same names (`core.contact`, `events.event`, `ledger.send`) and writes **one**.
On SQLite each part is a file; a connection has an empty memory database as its main one and attaches the written part
read-write, the others `mode=ro`, so that its `BEGIN IMMEDIATE` blocks no writer of another part. The ledger is
`synchronous=FULL`: a claim that was committed survives a power cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.pool import QueuePool

from carillon.store.line import Line
from carillon.store.sqlite import driver

Part = Literal["core", "events", "ledger"]
PARTS: tuple[Part, ...] = ("core", "events", "ledger")

BUSY_TIMEOUT_S = 60
MAPPED = 0x7FFF_0000
"""Bytes of each file that are read where they lie in the machine's cache: as many as SQLite can."""
_WRITER_CACHE_KB: dict[Part, int] = {"core": 65536, "events": 65536, "ledger": 16384}
"""The ledger is written in order, by several threads of a worker, each with a connection: a larger cache of it makes
nothing faster, and a million people fill it in each of them.
"""


class Draft:
    """One connection, in transactions that read and others that write; its temporary tables outlive each of them."""

    def __init__(self, connection: Connection, turn: Callable[[], AbstractContextManager[None]]) -> None:
        self._connection, self._turn = connection, turn

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that writes temporary tables only: nobody waits for it."""
        self._connection.execution_options(reads=True)
        with self._connection.begin():
            yield self._connection

    @contextmanager
    def holding(self, name: str, database: bytes) -> Iterator[None]:
        """A whole database as one more part under this name, to be read in transactions that begin and end meanwhile
        (SQLite).
        """
        raw: Any = self._connection.connection.driver_connection
        with NamedTemporaryFile() as file:  # attached, it needs no name any more: a kill then leaves nothing
            file.write(database)
            file.flush()
            raw.execute(f"ATTACH DATABASE ? AS {name}", (f"{Path(file.name).as_uri()}?mode=ro&immutable=1",))
        del database
        raw.execute(f"PRAGMA {name}.mmap_size={MAPPED}")
        yield
        raw.execute(f"DETACH DATABASE {name}")  # where the block fails the connection is thrown away

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction as `Store.write` has it."""
        self._connection.execution_options(reads=False)
        with self._turn(), self._connection.begin():
            yield self._connection


class Store:
    """Engines over one database URL; cheap to make, safe to share between threads, not between forks."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self._lines: dict[Part, Line] = {}
        parsed = make_url(url)
        self.dialect: Literal["sqlite", "postgresql"]
        if parsed.get_backend_name() == "sqlite":
            self.dialect = "sqlite"
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("Carillon needs a database file: three parts cannot share a memory database")
            self._base = Path(parsed.database).absolute()
            self._engines = {role: self._sqlite_engine(role, pool_size) for role in (None, *PARTS)}
            self._lines = {part: Line() for part in PARTS}
        elif parsed.get_backend_name() == "postgresql":
            self.dialect = "postgresql"
            engine = sa.create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_size=pool_size,
                max_overflow=16,
                pool_pre_ping=True,
                # The one that worked last works next: a server plans a statement anew until a connection has said it
                # ten times, and each connection plans for itself.
                pool_use_lifo=True,
                hide_parameters=True,  # errors are shown by Prefect, where nobody may be known by name
                # SQLAlchemy forgets the count of an INSERT: with psycopg it told -1, "none", to the one who had won.
                execution_options={"preserve_rowcount": True},
            )
            event.listen(engine, "connect", _weigh_pages)
            self._engines = dict.fromkeys((None, *PARTS), engine)
        else:
            raise ValueError(
                f"{parsed.get_backend_name()} is no store that Carillon knows: sqlite:/// or postgresql://"
            )

    @property
    def runs_here(self) -> bool:
        """Whether statements run in this process, each on the thread that asks (SQLite), and not in a server."""
        return self.dialect == "sqlite"

    def files(self) -> dict[Part, Path]:
        """The file of each part (SQLite only): x.db, x.events.db, x.ledger.db."""
        stem = self._base.with_suffix("")
        return {
            "core": self._base,
            "events": stem.with_name(stem.name + ".events.db"),
            "ledger": stem.with_name(stem.name + ".ledger.db"),
        }

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in one transaction that can write nothing; each part is one consistent snapshot."""
        with self._engines[None].connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(postgresql_readonly=True)  # said with BEGIN, not behind it
            with connection.begin():
                yield connection

    @contextmanager
    def write(self, part: Part) -> Iterator[Connection]:
        """A transaction that may write this part and read all; commits at the end, rolls back on any exception.

        On SQLite it holds the part's single write lock from its first moment, so keep it short; writers of one
        process have it in the order in which they came.
        """
        with self._turn(part), self._engines[part].begin() as connection:
            yield connection

    @contextmanager
    def draft(self, part: Part) -> Iterator[Draft]:
        """A connection that reads at first and writes later what it made of that; where the block fails it is thrown
        away, with its temporary tables.
        """
        with self._engines[part].connect() as connection:
            try:
                yield Draft(connection, partial(self._turn, part))
            except BaseException:
                connection.invalidate()
                raise

    def _turn(self, part: Part) -> AbstractContextManager[None]:
        return self._lines[part].turn() if part in self._lines else nullcontext()

    def engine(self, part: Part | None = None) -> Engine:
        """The engine behind `read` (None) or `write(part)`, for migrations and bulk loads."""
        return self._engines[part]

    def close(self) -> None:
        """Release every pooled connection."""
        for engine in {id(e): e for e in self._engines.values()}.values():
            engine.dispose()

    def _sqlite_engine(self, role: Part | None, pool_size: int) -> Engine:
        files = self.files()

        def connect() -> driver.Connection:
            connection = driver.connect(
                ":memory:", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False,
                cached_statements=512,
            )  # fmt: skip
            # The written part first: BEGIN takes locks and snapshots in this order, so that what is read of the other
            # parts is as new as the lock. A writer that had to wait would otherwise decide by what core said before.
            for part, path in sorted(files.items(), key=lambda item: item[0] != role):
                mode = "rwc" if part == role else "ro"
                connection.execute(f"ATTACH DATABASE ? AS {part}", (f"file:{path}?mode={mode}",))
            if role is not None:
                connection.execute(f"PRAGMA {role}.journal_mode=WAL")
                connection.execute(f"PRAGMA {role}.synchronous={'FULL' if role == 'ledger' else 'NORMAL'}")
                connection.execute(f"PRAGMA {role}.wal_autocheckpoint=4000")
                # What is erased of a person leaves no bytes in a file, once the log is in it; the ledger has but numbers.
                connection.execute(f"PRAGMA {role}.secure_delete={'OFF' if role == 'ledger' else 'ON'}")
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute("PRAGMA main.cache_size=-8000")
            for part in files:
                # What is only read lies in the machine's cache, mapped: copies of it in each connection would add up.
                connection.execute(f"PRAGMA {part}.cache_size=-{_WRITER_CACHE_KB[part] if part == role else 8192}")
                connection.execute(f"PRAGMA {part}.mmap_size={MAPPED}")
            return connection

        engine = sa.create_engine(
            "sqlite://", module=driver, creator=connect, poolclass=QueuePool, pool_size=pool_size, max_overflow=16,
            hide_parameters=True,
        )  # fmt: skip

        # The driver's own idea of when a transaction begins is switched off (isolation_level=None): a writer takes its
        # lock first, so that what it reads is still true when it writes.
        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            reads = role is None or connection.get_execution_options().get("reads", False)
            connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

        return engine

    def ensure_files(self) -> None:
        """Make the SQLite files of all parts, empty but in WAL mode, where they are missing: `mode=ro` makes none."""
        if self.dialect != "sqlite":
            return
        self._base.parent.mkdir(parents=True, exist_ok=True)
        for path in self.files().values():
            if not path.exists():
                connection = driver.connect(path)
                connection.execute("PRAGMA page_size=8192")
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("CREATE TABLE made_by_carillon(x)")
                connection.execute("DROP TABLE made_by_carillon")
                connection.close()


_WEIGH_PAGES = """\
SELECT set_config('random_page_cost', '1.1', false)
FROM pg_settings WHERE name = 'random_page_cost' AND source = 'default'"""


def _weigh_pages(connection: Any, _: Any) -> None:
    # PostgreSQL's own figure is of disks that turn: by it a batch of a thousand people is found by reading a table of
    # hundreds of thousands. Where somebody chose a figure for their server it stands.
    connection.execute(_WEIGH_PAGES)
    connection.commit()


def rowcount(result: sa.CursorResult[Any]) -> int:
    """How many rows a guarded statement won."""
    return max(result.rowcount, 0)


def commits_seen(connection: Connection, part: Part) -> int | None:
    """A number that stands while no other connection commits to the part; None on PostgreSQL, which has none."""
    if connection.dialect.name == "postgresql":
        return None
    return int(connection.exec_driver_sql(f"PRAGMA {part}.data_version").scalar_one())

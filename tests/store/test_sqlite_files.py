"""A store's files on SQLite: what is deleted is gone from them, and a database that is held leaves no file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.store import tables as t
from carillon.store.engine import PARTS, Part, Store
from carillon.store.migrate import open_store

SAID = "somebody who wanted to be forgotten"


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(f"sqlite:///{tmp_path / 'carillon.db'}")
    yield opened
    opened.close()


def test_what_is_deleted_of_a_person_leaves_no_bytes_in_the_file(store: Store) -> None:
    with store.write("core") as connection:
        connection.execute(
            t.contact.insert().values(
                id=1, shop_id=SAID, zone="Europe/Berlin", zone_source="workspace", h31=1, created_at=0, attrs={}
            )
        )
    assert SAID.encode() in settled(store, "core")
    with store.write("core") as connection:
        connection.execute(t.contact.delete())
    assert SAID.encode() not in settled(store, "core")


@pytest.mark.parametrize("part", PARTS)
def test_each_part_says_whether_bytes_are_overwritten(store: Store, part: Part) -> None:
    """However the library was built; the ledger knows people by number, and is written fastest."""
    with store.write(part) as connection:
        assert connection.exec_driver_sql(f"PRAGMA {part}.secure_delete").scalar() == (0 if part == "ledger" else 1)


def test_a_database_is_held_without_a_file_and_let_go_of(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "with % and ?"))
    Path(tempfile.tempdir).mkdir()
    made = sqlite3.connect(":memory:")
    made.executescript("CREATE TABLE said (word); INSERT INTO said VALUES ('one'), ('two')")
    with store.draft("events") as draft:
        with draft.holding("sent", made.serialize()):
            assert list(Path(tempfile.tempdir).iterdir()) == []
            with draft.reading() as connection:
                assert connection.exec_driver_sql("SELECT count(*) FROM sent.said").scalar() == 2
            with draft.writing() as connection, pytest.raises(sa.exc.OperationalError):
                connection.exec_driver_sql("INSERT INTO sent.said VALUES ('three')")
        with draft.reading() as connection, pytest.raises(sa.exc.OperationalError):
            connection.exec_driver_sql("SELECT count(*) FROM sent.said")


WITHOUT = """\
import sqlite3, sys
sys.modules["pysqlite3"] = None
from carillon.store.migrate import open_store
from carillon.store.sqlite import driver
store = open_store(sys.argv[1])
made = sqlite3.connect(":memory:")
made.executescript("CREATE TABLE said (word); INSERT INTO said VALUES ('one'), ('two')")
with store.draft("ledger") as draft, draft.holding("sent", made.serialize()), draft.writing() as connection:
    connection.exec_driver_sql("INSERT INTO lease (name, holder, until) SELECT word, 'x', 1 FROM sent.said")
with store.read() as connection:
    print(driver is sqlite3, connection.exec_driver_sql("SELECT count(*) FROM ledger.lease").scalar())
"""


def test_where_there_is_no_wheel_the_machines_own_library_serves(store: Store) -> None:
    """In a process of its own, over files that the other library has made."""
    said = subprocess.run([sys.executable, "-c", WITHOUT, store.url], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "2"]
    with store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(t.lease)) == 2


def settled(store: Store, part: Part) -> bytes:
    """The file once all that was committed is in it."""
    with store.engine(part).connect() as connection:
        connection.connection.driver_connection.execute(f"PRAGMA {part}.wal_checkpoint(TRUNCATE)")
    return store.files()[part].read_bytes()

"""Migrations make exactly the tables of tables.py, on both stores, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.store import tables as t
from carillon.store.engine import PARTS, Store
from carillon.store.migrate import HEADS, StoreTooNewError, migrate, open_store, revisions_of, stored_revision
from carillon.store.migrations.draft import differences


def test_migrations_equal_the_tables(store: Store) -> None:
    """Nothing is left to migrate: neither a table, nor a column, nor an index."""
    left = {part: differences(store, part).upgrade_ops.as_diffs() for part in PARTS}
    assert left == {"core": [], "events": [], "ledger": []}


def test_the_named_heads_are_the_newest_scripts() -> None:
    """HEADS lets a store be opened without Alembic, so it must say what Alembic would."""
    assert {part: revisions_of(part)[1].get_current_head() for part in PARTS} == HEADS


def test_a_store_that_is_there_is_left_alone(store: Store) -> None:
    """A second migration finds nothing to do and reads three rows."""
    with store.read() as connection:
        assert {part: stored_revision(connection, part) for part in PARTS} == HEADS
    assert migrate(store) == []


def test_an_empty_store_is_migrated_part_by_part(tmp_path: Path) -> None:
    """The first opening makes three files and all their tables."""
    store = open_store(f"sqlite:///{tmp_path / 'shop' / 'carillon.db'}")
    assert sorted(path.name for path in (tmp_path / "shop").glob("*.db")) == [
        "carillon.db", "carillon.events.db", "carillon.ledger.db",
    ]  # fmt: skip
    with store.read() as connection:
        found = {part: set(sa.inspect(connection).get_table_names(schema=part)) - {"alembic_version"} for part in PARTS}
    store.close()
    assert found == {part: {table.name for table in t.metadata.sorted_tables if table.schema == part} for part in PARTS}


def test_hot_tables_have_no_rowid_on_sqlite(sqlite_store: Store) -> None:
    """A send is stored in the order of its key: WITHOUT ROWID survives the migration."""
    with sqlite_store.read() as connection:
        ddl = connection.exec_driver_sql("SELECT sql FROM ledger.sqlite_master WHERE name = 'send'").scalar_one()
    assert "WITHOUT ROWID" in ddl


def test_opening_again_needs_neither_alembic_nor_the_models(tmp_path: Path) -> None:
    """A stored revision is read without importing Alembic."""
    url = f"sqlite:///{tmp_path / 'carillon.db'}"
    open_store(url).close()
    script = (
        "import sys; from carillon.store.migrate import open_store; open_store('{}'); "
        "print('alembic' in sys.modules, 'sqlmodel' in sys.modules)"
    )
    seen = subprocess.run([sys.executable, "-c", script.format(url)], capture_output=True, text=True, check=True)
    assert seen.stdout.split() == ["False", "False"]


def test_a_newer_store_is_refused(sqlite_store: Store) -> None:
    """A layout from the future is named, not guessed at."""
    with sqlite_store.write("events") as connection:
        connection.exec_driver_sql("UPDATE events.alembic_version SET version_num = 'events_9999'")
    with pytest.raises(StoreTooNewError, match="events of this store stands at events_9999"):
        migrate(sqlite_store)

"""Bring a store to the layout that this version of Carillon knows, part by part.

Each part has its own chain of revisions under `migrations/` and its own version row (`core.alembic_version` and so on),
because no transaction writes two parts. A store that is already there costs one read and no import of Alembic.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store.engine import PARTS, Part, Store

if TYPE_CHECKING:  # Alembic costs half a second, and a store that is there needs none of it
    from alembic.config import Config
    from alembic.script import ScriptDirectory

HEADS: dict[Part, str] = {"core": "core_0005", "events": "events_0005", "ledger": "ledger_0015"}
"""The newest revision of each part; a test compares it with the scripts."""

MIGRATIONS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = 0x63617269  # PostgreSQL's advisory lock; on SQLite the write lock itself is held


class StoreTooNewError(Exception):
    """The store was written by a newer Carillon, which alone knows its layout."""


def open_store(url: str, *, pool_size: int = 8) -> Store:
    """The store behind `url`, made where it is missing and migrated to this version's layout."""
    store = Store(url, pool_size=pool_size)
    store.ensure_files()
    migrate(store)
    return store


def migrate(store: Store) -> list[Part]:
    """Bring every part to its head, each in its own transaction; return the parts that were behind."""
    with store.engine(None).connect() as connection, connection.begin():
        revisions = {part: stored_revision(connection, part) for part in PARTS}
    behind = [part for part in PARTS if revisions[part] != HEADS[part]]
    for part in behind:
        with store.write(part) as connection:
            migrate_part(connection, part)
    return behind


def stored_revision(connection: Connection, part: Part) -> str | None:
    """The revision that a part stands at, or None for an empty one."""
    if connection.dialect.name == "sqlite":
        there = connection.exec_driver_sql(f"SELECT 1 FROM {part}.sqlite_master WHERE name = 'alembic_version'")
        if there.first() is None:
            return None
    elif connection.exec_driver_sql(f"SELECT to_regclass('{part}.alembic_version')").scalar() is None:
        return None
    revision = connection.exec_driver_sql(f"SELECT version_num FROM {part}.alembic_version").scalar()
    return None if revision is None else str(revision)


def migrate_part(connection: Connection, part: Part, to: str = "head") -> None:
    """Bring one part to a revision in this transaction, from an older one or from nothing."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {part}")
    config, scripts = revisions_of(part)

    def to_revision(revision: str, _context: object) -> object:
        return scripts._upgrade_revs(to, revision)

    with EnvironmentContext(config, scripts, fn=to_revision) as environment:
        environment.configure(connection=connection, version_table_schema=part)
        try:
            environment.run_migrations()
        except CommandError as error:
            known = stored_revision(connection, part)
            raise StoreTooNewError(
                f"The part {part} of this store stands at {known}, which this Carillon does not know. "
                "It was written by a newer version: install that one, or restore a backup."
            ) from error


def revisions_of(part: Part) -> tuple[Config, ScriptDirectory]:
    """Alembic's configuration and script directory of one part."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", str(MIGRATIONS / part))
    config.set_main_option("path_separator", "newline")
    return config, ScriptDirectory.from_config(config)

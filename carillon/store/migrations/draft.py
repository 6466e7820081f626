"""Draft the next revision of a part from the difference between tables.py and an empty or migrated store.

For engineers: `python -m carillon.store.migrations.draft core "why"` prints the body to put into a new file of
`migrations/core/`. `HEADS` in migrate.py then names the new revision.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

from carillon.store.engine import PARTS, Part, Store
from carillon.store.migrate import HEADS, migrate
from carillon.store.tables import metadata

_HEAD = '''"""{why}"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "{revision}"
down_revision = {down}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {body}
'''


def differences(store: Store, part: Part) -> Any:
    """What stands between a part of the store and tables.py, as Alembic's migration script."""

    def only_this_part(name: str | None, kind: str, _parents: object) -> bool:
        return name == part if kind == "schema" else name != "alembic_version"

    with store.write(part) as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": only_this_part,
                "include_object": lambda thing, *_: (
                    getattr(getattr(thing, "table", thing), "schema", part) == part
                    and thing.info.get("only", store.dialect) == store.dialect
                ),
                "version_table_schema": part,
            },
        )
        return produce_migrations(context, metadata)


def draft(part: Part, why: str, *, first: bool) -> str:
    """The next revision's source; `first` ignores the revisions that exist."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'draft.db'}")
        store.ensure_files()
        if not first:
            migrate(store)
        body = render_python_code(differences(store, part).upgrade_ops, alembic_module_prefix="op.")
        store.close()
    number = 1 if first else int(HEADS[part].rsplit("_", 1)[1]) + 1
    body = "\n".join(line for line in body.splitlines() if "# ###" not in line).strip()
    down = "None" if first else f'"{HEADS[part]}"'
    return _HEAD.format(why=why, revision=f"{part}_{number:04d}", down=down, body=body)


if __name__ == "__main__":
    wanted = cast(Part, sys.argv[1])
    if wanted not in PARTS:
        sys.exit(f"{wanted} is no part: core, events or ledger")
    print(draft(wanted, sys.argv[2], first="--first" in sys.argv))

"""`carillon import coupons POOL FILE`: codes into a pool, with what was refused and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carillon.cli.import_ import workspace_of
from carillon.cli.opened import nearest, refuse
from carillon.kernel.counting import counted, verb

if TYPE_CHECKING:  # the engine is imported when the command runs
    from carillon.policy.coupons import Added

MOST_SHOWN = 20


def import_coupons(pool: str, file: Path, as_json: bool) -> None:
    """Lay the codes in; exit 1 where all of them were refused."""
    from carillon.policy.code_files import UnreadableCodesError, read_codes
    from carillon.policy.coupons import add_codes, stock_of
    from carillon.settings import read_settings
    from carillon.store.migrate import open_store

    settings = read_settings()
    workspace, _ = workspace_of(settings.workspace, settings.env)
    if pool not in workspace.coupons:
        refuse(
            f'workspace.yaml has no pool of coupons "{pool}"',
            nearest(pool, workspace.coupons) or f"coupons: {{{pool}: {{valid_for: 30d}}}}",
        )
    try:
        found = read_codes(file)
    except UnreadableCodesError as fault:
        refuse(f"{fault}. Nothing was imported.")
    with open_store(settings.database_url).write("ledger") as connection:
        added = add_codes(connection, pool, found.codes, found.first)
        left = stock_of(connection, pool).left
    _tell(pool, added, left, as_json)
    if added.refused and not added.new and not added.known:
        sys.exit(1)


def _tell(pool: str, added: Added, left: int, as_json: bool) -> None:
    if as_json:
        refused = [{"row": row, "reason": reason} for row, reason in added.refused]
        click.echo(json.dumps({"pool": pool, "new": added.new, "known": added.known, "refused": refused, "left": left}))
        return
    click.echo(
        f"{pool}: {counted(added.new, 'new code')}, {added.known:,} that it has already; {left:,} {verb(left, 'are')} left"
    )
    if added.refused:
        click.echo(f"{counted(len(added.refused), 'row')} refused:")
    for row, reason in added.refused[:MOST_SHOWN]:
        click.echo(f"  row {row:,}: {reason}")
    if len(added.refused) > MOST_SHOWN:
        click.echo(f"  … and {len(added.refused) - MOST_SHOWN:,} more (--json names all)")

"""What most commands begin with: the workspace's files, its store, and an answer where one of them says no."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from zoneinfo import ZoneInfo

import click

if TYPE_CHECKING:  # every command line passes through here: heavy rooms are imported when a command runs
    from carillon.definition.load import Loaded
    from carillon.kernel.clock import Micros
    from carillon.settings import Settings
    from carillon.store.engine import Store

json_option = click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
now_option = click.option(
    "--now", metavar="INSTANT", help="Pretend it is then: 2026-12-01T09:00 (workspace's zone) or with an offset."
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A workspace at work."""

    settings: Settings
    store: Store
    loaded: Loaded

    def campaigns(self, wanted: Sequence[str]) -> list[str]:
        """The wanted campaigns, or all; ends the command where one does not exist or has errors."""
        names = list(wanted) or sorted(self.loaded.messages)
        for name in names:
            if name not in self.loaded.messages:
                refuse(f'no campaign "{name}"', nearest(name, self.loaded.messages))
        errors = [problem for name in names for problem in self.loaded.errors_of(name)]
        if errors:
            from carillon.kernel.problems import in_order, render

            click.echo(render(in_order(list(dict.fromkeys(errors))), self.loaded.sources), err=True)
            refuse(f"{len(set(errors))} problem{'s' if len(set(errors)) > 1 else ''}. Nothing was applied.")
        return names

    def instant(self, text: str | None) -> Micros:
        """The instant that `--now` says, else the machine's."""
        return instant_of(text, self.loaded.workspace.timezone)


def instant_of(text: str | None, timezone: str) -> Micros:
    """The instant that `--now` says, on the clock of this zone where it names none, else the machine's."""
    from carillon.kernel.clock import SystemClock, to_micros

    if text is None:
        return SystemClock().now()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no instant: write 2026-12-01T09:00", param_hint="--now") from None
    return to_micros(at if at.tzinfo else at.replace(tzinfo=ZoneInfo(timezone)))


@contextmanager
def opened(folder: Path | None = None) -> Iterator[Opened]:
    """The workspace of the current folder with its store; a missing workspace ends the command with a sentence."""
    with opened_store(folder) as (settings, store):
        from carillon.definition.load import load_workspace

        yield Opened(settings, store, load_workspace(settings.workspace, env=settings.env))


@contextmanager
def opened_store(folder: Path | None = None) -> Iterator[tuple[Settings, Store]]:
    """The same without reading the YAML: for what runs as applied, whatever the files say meanwhile."""
    from dataclasses import replace

    from carillon.assembly import open_house
    from carillon.settings import read_settings

    settings = read_settings()
    if folder is not None:
        settings = replace(settings, workspace=folder.resolve())
    if not settings.workspace.is_dir():
        refuse(f"no workspace at {settings.workspace}", "`carillon init DIR` makes one")
    store = open_house(settings)
    try:
        yield settings, store
    finally:
        store.close()


def me() -> str:
    """Who gives this command, for the audit."""
    return os.environ.get("CARILLON_USER") or getuser()


def nearest(name: str, names: object) -> str | None:
    """`did you mean …?`, or None."""
    from difflib import get_close_matches

    close = get_close_matches(name, [str(n) for n in names], 1)  # type: ignore[attr-defined]
    return f'did you mean "{close[0]}"?' if close else None


def refuse(sentence: str, hint: str | None = None, *, code: int = 1) -> NoReturn:
    """Say no and end the command."""
    click.echo(f"{sentence}{f' ({hint})' if hint else ''}", err=True)
    sys.exit(code)


def tell_json(what: object) -> None:
    """Print an answer for machines."""
    click.echo(json.dumps(what, ensure_ascii=False, indent=2, default=str))

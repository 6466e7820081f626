"""`carillon import contacts|events|consents|suppressions FILE`, `carillon import list NAME FILE` and `carillon data suggest`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carillon.kernel import counting
from carillon.kernel.counting import counted

if TYPE_CHECKING:  # imports stay cheap: every command of the line passes through this file
    from carillon.people.importing import ImportResult
    from carillon.people.mapping import Source

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("import")
def import_group() -> None:
    """Bring contacts, events, consents, suppressions and lists in from a file."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """What all imports understand."""
    for option in reversed(
        [
            click.argument("file", type=_FILE),
            click.option("--map", "maps", multiple=True, metavar="FIELD=COLUMN", help="Read a field from this column."),
            click.option("--mapping", type=_FILE, help="A saved mapping (YAML)."),
            click.option(
                "--save-mapping", type=click.Path(path_type=Path), help="Save what was told, for the next time."
            ),
            click.option("--ignore", multiple=True, metavar="COLUMN", help="Leave this column out."),
            click.option("--ignore-others", is_flag=True, help="Leave out every column that is not declared."),
            click.option("--encoding", help="Default: what the file begins with, else utf-8."),
            click.option("--delimiter", help="Default: found by itself; `tab` for tabulators."),
            click.option("--zone", help="The clock of times without an offset. Default: the workspace's."),
            click.option("--dates", metavar="PATTERN", help="How dates are written, such as %d.%m.%Y."),
            click.option("--decimal-comma", is_flag=True, help="19,90 and 1.234,50 instead of 19.90."),
            click.option("--country", help="Of contacts and telephone numbers that name none."),
            click.option("--dry-run", is_flag=True, help="Read and check everything, write nothing."),
            click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        ]
    ):
        command = option(command)
    return command


def _enrol(command: Callable[..., None]) -> Callable[..., None]:
    """What imports understand by which somebody may enter a campaign."""
    enrol = click.option("--enrol", is_flag=True, help="Not history: whom it concerns may enter campaigns.")
    return enrol(click.option("--yes", "is_agreed", is_flag=True, help="With --enrol: do not ask.")(command))


@import_group.command("contacts")
@_enrol
@_options
def contacts(file: Path, **told: Any) -> None:
    """Make or change contacts, by the shop's own id."""
    _import("contacts", file, **told)


@import_group.command("events")
@_enrol
@click.option("--event", help="The kind of all events of the file, where it has no such column.")
@_options
def events(file: Path, event: str | None, **told: Any) -> None:
    """What contacts did. Events of the past: nobody enters a campaign by them, unless --enrol says so."""
    _import("events", file, event=event, **told)


@import_group.command("consents")
@_enrol
@_options
def consents(file: Path, **told: Any) -> None:
    """Who said yes or no to which topic on which channel, with evidence."""
    _import("consents", file, **told)


@import_group.command("suppressions")
@_options
def suppressions(file: Path, **told: Any) -> None:
    """Addresses and numbers that are never written to."""
    _import("suppressions", file, **told)


@import_group.command("list", epilog="Example: carillon import list press_contacts press.csv")
@click.argument("name")
@click.option(
    "--replace", "is_whole", is_flag=True, help="The file is the whole list: whoever it does not name is taken off."
)
@_options
def list_(name: str, file: Path, is_whole: bool, **told: Any) -> None:
    """Put the people of a file on the list NAME: by a column `contact` (the shop's id) or `email`.

    Conditions ask for it: `audience: {list: NAME}`. Other columns are passed over.
    """
    import re

    from carillon.definition.scalars import NAME_PATTERN
    from carillon.people.importing import ListWish

    if not re.fullmatch(NAME_PATTERN, name):
        raise click.BadParameter("small letters, digits and _, beginning with a letter", param_hint="NAME")
    _import("list", file, into=ListWish(name, is_whole), **told)


@import_group.command("coupons", epilog="Example: carillon import coupons spring10 coupons/spring10.csv")
@click.argument("pool")
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def coupons(pool: str, file: Path, as_json: bool) -> None:
    """Lay the codes of a file into the pool POOL: one a line, or the column `code` of a CSV.

    Codes that the pool has already are left as they are: a file may grow and be imported again.
    """
    from carillon.cli.import_coupons import import_coupons

    import_coupons(pool, file, as_json)


def _import(
    kind: Any, file: Path, *, dry_run: bool, as_json: bool, save_mapping: Path | None, enrol: bool = False,
    is_agreed: bool = False, into: Any = None, **told: Any,
) -> None:  # fmt: skip
    from carillon.consent.standing import ensure_folded, rules_of
    from carillon.kernel.clock import SystemClock
    from carillon.people.files import UnreadableFileError
    from carillon.people.importing import plan_import, run_import
    from carillon.people.mapping import MappingError, write_mapping
    from carillon.settings import read_settings
    from carillon.store.migrate import open_store

    settings = read_settings()
    workspace, declared = workspace_of(settings.workspace, settings.env)
    rules = rules_of(workspace)
    try:
        source = _source(**told)
        plan = plan_import(
            kind, file, source, data=declared, topics=tuple(workspace.topics), rules=rules,
            workspace_zone=workspace.timezone, at=SystemClock().now(), history=not enrol,
            currencies=workspace.currencies, into=into,
        )  # fmt: skip
        if save_mapping is not None:
            write_mapping(save_mapping, source)
        store = None if dry_run else open_store(settings.database_url)
        if store is not None:
            ensure_folded(store, rules)
        if enrol:
            _say_who_may_enter(open_store(settings.database_url), plan, is_agreed=is_agreed or dry_run)
        with _Progress(file.name, is_shown=not as_json and sys.stderr.isatty()) as progress:
            result = run_import(store, plan, progress=progress.show)
    except (MappingError, UnreadableFileError) as error:
        click.echo(f"{error}\nNothing further was imported.", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("\nStopped. What was imported stays; run it again to go on: nothing comes in twice.", err=True)
        sys.exit(130)
    _print(result, kind, dry_run, as_json)
    if result.rows and result.refused == result.rows:
        sys.exit(1)


def _say_who_may_enter(store: Any, plan: Any, *, is_agreed: bool) -> None:
    """How many of the file may enter which campaign; then a person agrees, or nothing is imported."""
    from carillon.cli.listening import listening
    from carillon.people.enrolling import may_enrol

    for campaign, n in may_enrol(plan, listening(store, plan.at)).items():
        click.echo(f"at most {counting.people(n)} of this file may enter {campaign}", err=True)
    if not is_agreed and not click.confirm("Import it?", err=True):
        click.echo("Nothing was imported.", err=True)
        sys.exit(1)


def workspace_of(path: Path, env: str | None) -> tuple[Any, Any]:
    """The workspace and what it declares; ends the command where these files have errors."""
    from carillon.definition.load import sources_of
    from carillon.definition.load_common import load_common
    from carillon.definition.tree import read_tree
    from carillon.kernel.problems import in_order, render

    tree = read_tree(path)
    common = load_common(tree, env)
    wrong = [p for p in common.problems if p.severity == "error" and p.code[:3] in ("YAM", "WSP", "DAT")]
    if wrong:
        click.echo(render(in_order(wrong), sources_of(tree, wrong)), err=True)
        click.echo("Nothing was imported.", err=True)
        sys.exit(1)
    return common.workspace, common.data


def _source(maps: tuple[str, ...], mapping: Path | None, ignore: tuple[str, ...], **told: Any) -> Source:
    from carillon.people.mapping import MappingError, Source, over, read_mapping

    columns = {}
    for written in maps:
        name, is_pair, column = written.partition("=")
        if not is_pair:
            raise MappingError(f"--map {written}: write --map FIELD=COLUMN")
        columns[name.strip()] = column.strip()
    source = Source(columns=columns, ignore=list(ignore), **told)
    return over(read_mapping(mapping), source) if mapping is not None else source


class _Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, title: str, *, is_shown: bool) -> None:
        self._bar: Any = None
        if is_shown:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[rows]:,} rows"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(title, total=1.0, rows=0)

    def __enter__(self) -> _Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: float, rows: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rows=rows)


def _print(result: ImportResult, kind: str, dry_run: bool, as_json: bool) -> None:
    speed = round(result.rows / result.seconds) if result.seconds else 0
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps({"kind": kind, "dry_run": dry_run, "rows_per_second": speed, **asdict(result)}))
        return
    click.echo(f"{counted(result.rows, 'row')} read in {result.seconds:.1f} s ({speed:,} a second)")
    if dry_run:
        click.echo("Nothing was written: a dry run.")
    for name, n in result.counts.items():
        click.echo(f"{n:>12,} {name}")
    if result.left_out:
        click.echo(f"{result.left_out:>12,} values left out, their rows came in without them")
    if result.refused:
        click.echo(f"{result.refused:>12,} {'row' if result.refused == 1 else 'rows'} refused:")
        for reason, n in sorted(result.reasons.items(), key=lambda pair: -pair[1])[:8]:
            click.echo(f"{n:>14,} {reason}")
    if result.refused_file:
        click.echo(f"Row by row, with reasons: {result.refused_file}")


@click.group("data")
def data() -> None:
    """What the shop sends."""


@data.command("suggest")
@click.argument("file", type=_FILE, required=False)
@click.option("--event", help="The file holds events of this kind; without it, contacts.")
@click.option("--write", is_flag=True, help="Write data.yaml into the workspace, where there is none yet.")
def suggest(file: Path | None, event: str | None, write: bool) -> None:
    """Write data.yaml from what has been imported, or from a file."""
    from carillon.people.suggest import suggest_from_file, suggest_from_store
    from carillon.settings import read_settings
    from carillon.store.migrate import open_store

    settings = read_settings()
    if file is not None:
        text = suggest_from_file(file, event)
    else:
        text = suggest_from_store(open_store(settings.database_url))
    target = settings.workspace / "data.yaml"
    if not write:
        click.echo(text, nl=False)
        return
    if target.exists():
        click.echo(f"{target} is there already: put in what it lacks by hand.\n\n{text}", err=True)
        sys.exit(1)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    click.echo(f"Wrote {target}. Read it: types are guesses.")

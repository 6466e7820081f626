"""`carillon backup | restore | upgrade`: keeping a store, and what a restore asks of a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import json_option, me, opened, refuse, tell_json
from carillon.kernel.counting import counted, people, verb

if TYPE_CHECKING:  # imported when a command runs
    from carillon.operating.gap import Gap
    from carillon.operating.restored import Mark
    from carillon.settings import Settings
    from carillon.store.engine import Store


@click.command("backup", epilog="Example: carillon backup backups/")
@click.argument("target", type=click.Path(path_type=Path))
@json_option
def backup(target: Path, as_json: bool) -> None:
    """Write one archive of the store to TARGET, a new file or a folder, while everything runs.

    In it are the three parts, the key made here and a manifest; keep it where only you can read it.
    """
    settings = _settings()
    store = store_as_it_stands(settings)
    try:
        path = _back_up(settings, store, target)
    finally:
        store.close()
    if as_json:
        tell_json({"backup": str(path), "bytes": path.stat().st_size})
    else:
        click.echo(f"{path}: {path.stat().st_size / 1e6:,.1f} MB")


@click.command("restore", epilog="Example: carillon restore backups/carillon-20261125T120000.zip")
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--taken-at", metavar="INSTANT", help="The store was restored by other means, as of then: mark it.")
@json_option
def restore(archive: Path | None, taken_at: str | None, as_json: bool) -> None:
    """Put the ARCHIVE of a backup in the place of the store, and hold everything until a person has looked.

    What may have left since the backup is gone through again and stands as unsure; the old files are kept.
    """
    from carillon.operating.archive import BadArchive

    if (archive is None) == (taken_at is None):
        raise click.UsageError("name an archive, or say --taken-at")
    settings = _settings()
    _refuse_while_up(settings)
    try:
        if archive is not None:
            _restore_archive(settings, archive, as_json)
        else:
            _mark_restored(settings, str(taken_at), as_json)
    except BadArchive as fault:
        refuse(str(fault))


@click.command("upgrade", epilog="Example: carillon upgrade --backup backups/")
@click.option("--backup", "target", type=click.Path(path_type=Path), help="Where the backup goes (.carillon/backups).")
@click.option("--dumped", is_flag=True, help="PostgreSQL: a pg_dump was taken just now.")
@click.option("--patience", default=120, show_default=True, help="Seconds to wait for runs under way.")
@json_option
def upgrade(target: Path | None, dumped: bool, patience: int, as_json: bool) -> None:
    """Bring the store to this version's layout: pause, wait for runs, back up, migrate, go on."""
    from carillon.kernel.clock import SystemClock
    from carillon.operating.upgrade import StillAtWork
    from carillon.operating.upgrade import upgrade as run
    from carillon.store.migrate import StoreTooNewError

    settings = _settings()
    store = store_as_it_stands(settings)
    if store.dialect == "postgresql" and not dumped:
        refuse(f"take a dump first, then say --dumped:\n  {dump_command(settings)}")
    back_up = _backup_of_upgrade(settings, store, target)
    say: Callable[[str], None] = (lambda line: None) if as_json else click.echo
    try:
        done = run(store, back_up, who=me(), clock=SystemClock(), patience_s=patience, say=say)
    except StoreTooNewError as fault:
        refuse(str(fault))
    except StillAtWork as fault:
        refuse(str(fault), "nothing was changed, everything goes on; stop `carillon up` and workers, then again")
    finally:
        store.close()
    if as_json:
        tell_json({"before": done.before, "migrated": done.parts, "resumed": done.resumed})
    else:
        click.echo(f"migrated: {', '.join(done.parts) or 'nothing was behind'}")
        click.echo(f"{counted(len(done.resumed), 'campaign')} {verb(len(done.resumed), 'go')} on")


def end_restore(*, nothing_left: bool, as_json: bool) -> None:
    """`carillon resume --after-restore`: let a restored store go on; what may have left stays unsure."""
    from carillon.assembly import most_people
    from carillon.operating.restored import mark_of
    from carillon.operating.resume import NotRestored, resume_restored
    from carillon.plan.applied import applied_names

    with opened() as house:
        with house.store.read() as connection:
            applied, mark = applied_names(connection), mark_of(connection)
        live = {name for name, campaign in house.loaded.campaigns.items() if campaign.state != "draft"}
        if mark is not None and (new := sorted(live - set(applied))):
            refuse(
                f"{', '.join(new)}: in the files and not in the restored store",
                "it may have been applied since the backup, and have sent: `carillon apply` it, it is held like all others, or say `state: draft`",
            )
        try:
            done = resume_restored(
                house.store, nothing_left=nothing_left, most_people=most_people, who=me(), now=house.instant(None)
            )
        except NotRestored as fault:
            refuse(str(fault))
    if as_json:
        tell_json({"campaigns": done.campaigns, "sent_again": done.sent_again, **_gap_json(done.gap)})
        return
    click.echo(f"{counted(len(done.campaigns), 'campaign')} {verb(len(done.campaigns), 'go')} on.")
    if done.sent_again:
        click.echo(
            f"{people(done.sent_again)} {verb(done.sent_again, 'are')} written to again: you said that nothing left since the backup."
        )
    _show_gap(done.gap)


def dump_command(settings: Settings) -> str:
    """How a PostgreSQL is backed up: one dump is one snapshot of all three schemas."""
    from sqlalchemy.engine import make_url

    url = make_url(settings.database_url).set(drivername="postgresql").render_as_string(hide_password=True)
    return f"pg_dump --format=custom --schema=core --schema=events --schema=ledger --file=carillon.dump '{url}'"


def _settings() -> Settings:
    from carillon.settings import read_settings

    return read_settings()


def store_as_it_stands(settings: Settings) -> Store:
    """The store as it stands: no other command may migrate it first."""
    from carillon.store.engine import Store

    store = Store(settings.database_url)
    if store.dialect == "sqlite" and not all(path.exists() for path in store.files().values()):
        refuse(f"there is no store at {settings.database_url}")
    return store


def _back_up(settings: Settings, store: Store, target: Path) -> Path:
    from carillon import __version__
    from carillon.kernel.clock import SystemClock
    from carillon.operating.archive import back_up
    from carillon.settings import KEY_FILE

    if store.dialect == "postgresql":
        refuse(f"PostgreSQL is backed up by its own means, in one snapshot:\n  {dump_command(settings)}")
    path = target / f"carillon-{datetime.now().astimezone():%Y%m%dT%H%M%S}.zip" if _is_folder(target) else target
    if path.exists():
        refuse(f"{path} is there already", "a backup never replaces another")
    path.parent.mkdir(parents=True, exist_ok=True)
    back_up(store, path, version=__version__, key_file=settings.state_dir / KEY_FILE, clock=SystemClock())
    return path


def _is_folder(target: Path) -> bool:
    return target.is_dir() or not target.suffix


def _backup_of_upgrade(settings: Settings, store: Store, target: Path | None) -> Callable[[], None]:
    def back_up() -> None:
        if store.dialect == "sqlite":
            click.echo(f"backup: {_back_up(settings, store, target or settings.state_dir / 'backups')}", err=True)

    return back_up


def _refuse_while_up(settings: Settings) -> None:
    from carillon.cli.running import AlreadyUp, alone

    settings.state_dir.mkdir(parents=True, exist_ok=True)
    try:
        with alone(settings):
            return
    except AlreadyUp as fault:
        refuse(f"{fault}: stop it first")


def _restore_archive(settings: Settings, archive: Path, as_json: bool) -> None:
    from carillon.assembly import most_people
    from carillon.kernel.clock import SystemClock
    from carillon.operating.replace_store import replace_store
    from carillon.settings import KEY_FILE
    from carillon.store.engine import Store

    store = Store(settings.database_url)
    if store.dialect == "postgresql":
        refuse("PostgreSQL is restored by its own means: pg_restore, then `carillon restore --taken-at INSTANT`")
    _refuse_at_work(store)
    done = replace_store(
        store, archive, key_file=settings.state_dir / KEY_FILE, most_people=most_people, who=me(), now=SystemClock().now()
    )  # fmt: skip
    _tell_restored(done.mark, done.gap, as_json, {"kept": str(done.kept)})


def _mark_restored(settings: Settings, taken_at: str, as_json: bool) -> None:
    from carillon.assembly import most_people
    from carillon.kernel.clock import SystemClock, to_micros
    from carillon.operating.replace_store import mark_and_account

    try:
        at = to_micros(datetime.fromisoformat(taken_at).astimezone())
    except ValueError:
        raise click.BadParameter("write 2026-12-01T09:00, or with an offset", param_hint="--taken-at") from None
    now = SystemClock().now()
    if at > now:
        raise click.BadParameter("that is yet to come", param_hint="--taken-at")
    mark, gap = mark_and_account(settings.database_url, at, most_people=most_people, who=me(), now=now)
    _tell_restored(mark, gap, as_json, {})


def _refuse_at_work(store: Store) -> None:
    from carillon.kernel.clock import SystemClock
    from carillon.operating.upgrade import at_work, layout_of

    if not all(path.exists() for path in store.files().values()) or layout_of(store)["ledger"] is None:
        return
    with store.read() as connection:
        if busy := at_work(connection, SystemClock().now()):
            refuse(f"still at work here: {', '.join(busy)}", "stop runs and workers first")


def _tell_restored(mark: Mark, gap: Gap, as_json: bool, more: Mapping[str, str]) -> None:
    from carillon.kernel.clock import from_micros

    taken, now = from_micros(mark.taken_at), from_micros(mark.restored_at)
    if as_json:
        tell_json({"taken_at": taken.isoformat(), "restored_at": now.isoformat(), **_gap_json(gap), **more})
        return
    click.echo(f"Restored as of {taken:%Y-%m-%d %H:%M:%S} UTC. Whatever left since then this store does not know.")
    _show_gap(gap)
    if more:
        click.echo(f"The files that stood here lie in {more['kept']}")
    click.echo("Every campaign is held. Look, then: carillon resume --after-restore")


def _show_gap(gap: Gap) -> None:
    for (campaign, step), n in gap.unsure.items():
        click.echo(f"  {n:>9,} may have got {campaign} › {step} since: unsure (carillon unsure --campaign {campaign})")
    for campaign, n in gap.ended.items():
        click.echo(f"  {n:>9,} left {campaign}: they wait for a later hour now, and may have got it in the meantime")
    if not gap.people:
        click.echo("  Nobody was due since the backup.")


def _gap_json(gap: Gap) -> dict[str, object]:
    unsure = [{"campaign": c, "step": s, "people": n} for (c, s), n in gap.unsure.items()]
    return {"unsure": unsure, "ended": dict(gap.ended)}

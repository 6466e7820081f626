"""Put an archive where the store is: made ready aside, held before it is in its place, the old files kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from carillon.kernel.clock import Micros, from_micros
from carillon.operating.archive import KEY, BadArchive, Manifest, fault_of, file_in, unpack
from carillon.operating.gap import Gap, account_for_gap
from carillon.operating.restored import Mark, mark_restored
from carillon.plan.applied import load_rules
from carillon.plan.rules import Rules
from carillon.store.engine import PARTS, Store
from carillon.store.migrate import open_store

MostPeople = Callable[[Rules], Mapping[str, int]]
"""How many people one request of each connector takes, by the rules of the store."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    manifest: Manifest
    mark: Mark
    gap: Gap
    kept: Path
    """Where the files that stood there before lie now."""


def replace_store(
    store: Store, archive: Path, *, key_file: Path, most_people: MostPeople, who: str, now: Micros
) -> Restored:
    """Restore this archive over a store on SQLite; raises BadArchive, and has changed nothing then.

    Core comes first, because in it every campaign is held: killed in the middle, nothing runs, and the same command
    again completes it.
    """
    home = store.files()["core"].parent
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".restore-") as folder:
        room = Path(folder)
        manifest = unpack(archive, room)
        fresh = Store(f"sqlite:///{room / 'carillon.db'}")
        for part, path in fresh.files().items():
            if fault := fault_of(file_in(room, part)):
                raise BadArchive(f"{part} of {archive} is damaged: {fault}")
            os.replace(file_in(room, part), path)
        fresh.close()
        mark, gap = mark_and_account(
            f"sqlite:///{room / 'carillon.db'}", manifest.taken_at, most_people=most_people, who=who, now=now
        )
        kept = home / f"before-restore-{from_micros(now):%Y%m%dT%H%M%S}"
        store.close()
        _exchange(fresh, store, kept)
        if (room / KEY).exists():
            _move(key_file, kept / KEY)
            os.replace(room / KEY, key_file)
    return Restored(manifest, mark, gap, kept)


def mark_and_account(url: str, taken_at: Micros, *, most_people: MostPeople, who: str, now: Micros) -> tuple[Mark, Gap]:
    """Mark the store behind `url` as restored from what was taken then, and account for what may have left since."""
    store = open_store(url)
    try:
        mark = mark_restored(store, taken_at=taken_at, restored_at=now, who=who)
        try:
            with store.read() as connection:
                rules = load_rules(connection)
        except LookupError:  # nothing was ever applied: nobody was ever written to
            return mark, Gap({}, {})
        return mark, account_for_gap(store, mark, most_people(rules))
    finally:
        store.close()


def _exchange(fresh: Store, store: Store, kept: Path) -> None:
    kept.mkdir()
    for part in PARTS:
        old = store.files()[part]
        for path in (old, Path(f"{old}-wal"), Path(f"{old}-shm")):
            _move(path, kept / path.name)
        for ending in ("", "-wal"):
            _move(Path(f"{fresh.files()[part]}{ending}"), Path(f"{old}{ending}"))


def _move(source: Path, target: Path) -> None:
    if source.exists():
        os.replace(source, target)

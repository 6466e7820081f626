"""One archive of a store on SQLite: its three parts, the key made here, and a manifest that proves them.

The parts are copied by SQLite's own online backup while everything runs: core, then events, the ledger last, so that
the ledger knows all that had left before its copy began.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from carillon.kernel.clock import Clock, Micros
from carillon.operating.restored import epoch_of
from carillon.store.engine import PARTS, Part, Store
from carillon.store.migrate import HEADS, revisions_of, stored_revision
from carillon.store.sqlite import driver

MANIFEST = "manifest.json"
KEY = "secret.key"
FORMAT = 1
_CHUNK = 1 << 20


class BadArchive(Exception):
    """This file is no whole backup that this version can read."""


@dataclass(frozen=True, slots=True)
class Copied:
    """One file in an archive."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself."""

    format: int
    version: str
    """Of the Carillon that made it."""
    began_at: Micros
    taken_at: Micros
    """When the copy of the ledger began: what left before it is in there."""
    epoch: int
    layout: Mapping[str, str]
    files: tuple[Copied, ...]


def back_up(store: Store, target: Path, *, version: str, key_file: Path, clock: Clock) -> Manifest:
    """Write an archive of a store on SQLite to this new file, readable by its owner only."""
    began_at = clock.now()
    with store.read() as connection:
        layout = {str(part): stored_revision(connection, part) or "" for part in PARTS}
        epoch = epoch_of(connection)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
        room, taken_at = Path(folder), began_at
        for part, path in store.files().items():  # in the order of PARTS
            taken_at = clock.now()
            _copy(path, room / f"{part}.db")
        if key_file.exists():
            (room / KEY).write_bytes(key_file.read_bytes())
        files = tuple(_described(path) for path in sorted(room.iterdir()))
        manifest = Manifest(FORMAT, version, began_at, taken_at, epoch, layout, files)
        draft = room / "draft.zip"
        _write(draft, room, manifest)
        os.replace(draft, target)
    return manifest


def read_manifest(archive: Path) -> Manifest:
    """What the archive says of itself; raises BadArchive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            told = json.loads(opened.read(MANIFEST))
        manifest = Manifest(**{**told, "files": tuple(Copied(**file) for file in told["files"])})
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as fault:
        raise BadArchive(f"{archive} is no backup of Carillon: {fault}") from fault
    if manifest.format != FORMAT:
        raise BadArchive(f"{archive} has format {manifest.format}, which this Carillon does not know: use a newer one")
    if newer := [part for part in PARTS if manifest.layout.get(part) not in known_revisions(part)]:
        raise BadArchive(
            f"{archive} was taken from a newer Carillon ({manifest.version}): its part {newer[0]} stands at "
            f"{manifest.layout.get(newer[0])}, here it is {HEADS[newer[0]]}. Install that version first."
        )
    return manifest


def known_revisions(part: Part) -> set[str]:
    """Every revision of a part that this version can bring to its head."""
    return {script.revision for script in revisions_of(part)[1].walk_revisions()}


def unpack(archive: Path, folder: Path) -> Manifest:
    """Lay the files of an archive into a folder, each proved by its hash; raises BadArchive."""
    manifest = read_manifest(archive)
    with zipfile.ZipFile(archive) as opened:
        for file in manifest.files:
            if file.name != Path(file.name).name:
                raise BadArchive(f"{archive} names a file outside itself: {file.name}")
            target = folder / file.name
            try:
                opened.extract(file.name, folder)
            except (KeyError, zipfile.BadZipFile, OSError) as fault:
                raise BadArchive(f"{file.name} of {archive} cannot be read: {fault}") from fault
            if _described(target) != file:
                raise BadArchive(f"{file.name} of {archive} is damaged: its hash is another")
    return manifest


def file_in(folder: Path, part: Part) -> Path:
    """Where a part lies in an unpacked archive."""
    return folder / f"{part}.db"


def fault_of(path: Path) -> str | None:
    """What SQLite's quick check finds wrong with a database file, or None."""
    connection = driver.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return _fault(connection)
    finally:
        connection.close()


def _fault(connection: driver.Connection) -> str | None:
    try:
        said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except driver.DatabaseError as fault:
        return str(fault)
    return None if said == "ok" else said


def _copy(source: Path, target: Path) -> None:
    """All pages in one step: a copy in several would begin anew with each commit of another process."""
    reading, writing = driver.connect(f"file:{source}?mode=ro", uri=True), driver.connect(target)
    try:
        reading.backup(writing)
        fault = _fault(writing)
    finally:
        writing.close()
        reading.close()
    if fault:
        raise BadArchive(f"the copy of {source} is damaged, and with it perhaps the file: {fault}")


def _described(path: Path) -> Copied:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return Copied(path.name, digest.hexdigest(), path.stat().st_size)


def _write(draft: Path, room: Path, manifest: Manifest) -> None:
    draft.touch(mode=0o600)
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2))
        for file in manifest.files:
            archive.write(room / file.name, file.name)
    with draft.open("rb+") as written:
        os.fsync(written.fileno())

"""One `carillon up` a workspace: who runs here now, and what one that was killed has left."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from carillon.settings import Settings

NOTE = "up.json"
PATIENCE_S = 70
"""A worker that was left ends its runs in order first."""


class AlreadyUp(Exception):
    """A living process runs this workspace."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a running `up` writes down: itself, and the processes that it started."""

    path: Path
    started: dict[str, float] = field(default_factory=dict)
    """Process id → the second in which it started: ids come back."""

    def add(self, pid: int) -> None:
        """Write down a process that has just been started."""
        self.started[str(pid)] = psutil.Process(pid).create_time()
        # Whole or not at all: a note cut off by a power cut would hide the processes that it names.
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.started))
        fresh.replace(self.path)


@contextmanager
def alone(settings: Settings) -> Iterator[Note]:
    """Be the one `up` of this workspace; ends what a killed one has left, and raises AlreadyUp while another lives."""
    path = settings.state_dir / NOTE
    _end_left(path)
    note = Note(path)
    note.add(os.getpid())
    try:
        yield note
    finally:
        path.unlink(missing_ok=True)


def _end_left(path: Path) -> None:
    try:
        left = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    living = {pid: process for pid, began in left.items() if (process := _alive(int(pid), began))}
    first = next(iter(left), "")
    if first in living:
        raise AlreadyUp(f"`carillon up` already runs here: process {first}")
    for process in living.values():
        process.terminate()
    for process in psutil.wait_procs(list(living.values()), PATIENCE_S)[1]:
        process.kill()


def _alive(pid: int, began: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - began) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if same else None

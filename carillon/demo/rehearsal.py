"""The process in which a campaign's Prefect flow runs once for each virtual instant; only lines travel to it and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carillon.kernel.clock import Micros, from_micros


class BrokenRehearsalError(RuntimeError):
    """The process ended before it answered; the message is the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A process that waits for instants."""

    process: subprocess.Popen[str]
    log: Path

    def run(self, now: Micros) -> list[str]:
        """Run the flow at this instant; returns a line for each thing it did. Raises BrokenRehearsalError."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{from_micros(now).isoformat()}\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise BrokenRehearsalError(f"the run ended without an answer:\n{self.log.read_text()[-2000:]}")
        told: dict[str, Any] = json.loads(answer)
        return [str(line) for line in told.get("stages", ())]


@contextmanager
def rehearsal(campaign: str, environment: Mapping[str, str], root: Path, log: Path) -> Iterator[Rehearsal]:
    """Start the process in this folder with these settings; it ends with the block."""
    with log.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.rehearse", campaign], env=dict(environment), cwd=root, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, start_new_session=True,
        )  # fmt: skip
    try:
        yield Rehearsal(process, log)
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Close its input, which ends it; kill it when it does not listen."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

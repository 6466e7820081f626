"""`carillon up` as a process of its own: what it says, what its Prefect shows, and how it is ended or killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from carillon.kernel.clock import VirtualClock, to_micros
from carillon.store.migrate import open_store
from tests.shop import Shop

FREE_PORTS = ("--prefect-port", "0", "--web-port", "0", "--sandbox-port", "0")
READY_WITHIN_S = 180


@dataclass
class Up:
    """A running `carillon up` and what it says."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def url(self, what: str) -> str:
        """The address that it gave for `Prefect`, `Web` or `Inbox`."""
        found = re.search(rf"^{what} +(http://127\.0\.0\.1:\d+)", self.said, re.M)
        assert found, self.said
        return found[1]

    def runs(self, *states: str) -> list[dict[str, Any]]:
        """All flow runs of campaigns in these states."""
        wanted = {"state": {"type": {"any_": list(states)}}, "tags": {"all_": ["carillon", "campaign"]}}
        answer = httpx.post(f"{self.url('Prefect')}/api/flow_runs/filter", json={"flow_runs": wanted}, trust_env=False)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        """The deployment of this campaign."""
        api = f"{self.url('Prefect')}/api/deployments"
        found: dict[str, Any] = httpx.get(f"{api}/name/{name}/{name}", trust_env=False).raise_for_status().json()
        return found

    def slots_taken(self, name: str) -> int:
        """How many runs hold a place of this deployment."""
        return int(self.deployment(name)["global_concurrency_limit"]["active_slots"])

    def run_now(self, name: str) -> str:
        """Ask for a run, as a person does in the UI; its id."""
        api = f"{self.url('Prefect')}/api/deployments/{self.deployment(name)['id']}"
        for _ in range(10):  # 503 is Prefect's word for a database that is busy: nothing was made
            answer = httpx.post(f"{api}/create_flow_run", json={}, trust_env=False)
            if answer.status_code != 503:
                break
            time.sleep(1)
        return str(answer.raise_for_status().json()["id"])

    def family(self) -> list[psutil.Process]:
        """The process and everything below it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def child(self, what: str) -> psutil.Process | None:
        """The `server`, the `worker` or the newest `run`, which is a child of the worker."""
        if what == "run":
            worker = self.child("worker")
            return max(worker.children(), key=psutil.Process.create_time, default=None) if worker else None
        children = psutil.Process(self.process.pid).children()
        return next((p for p in children if any(what in word for word in p.cmdline())), None)

    def end(self, number: int, within_s: float = 15) -> int:
        """Send it a signal; its exit code in time, and nobody left behind."""
        family = self.family()
        assert len(family) >= 3
        self.process.send_signal(number)
        code = self.process.wait(within_s)
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        return code

    def kill_everything(self) -> None:
        """What a power cut does."""
        for process in self.family():
            process.kill()
        self.process.wait(15)


def launch(folder: Path, log: Path, options: tuple[str, ...], environ: Mapping[str, str]) -> Up:
    """Start it in a folder, with nothing of the surrounding settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CARILLON_", "PREFECT_"))}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "carillon.cli.main", "up", *(options or FREE_PORTS)], cwd=folder,
            env={**clean, **environ}, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip
    return Up(process, folder, log)


def soon(ask: Callable[[], Any], within_s: float = 60) -> Any:
    """The first answer that is not empty."""
    end = time.monotonic() + within_s
    while not (answer := ask()) and time.monotonic() < end:
        time.sleep(0.2)
    return answer


def workspace(folder: Path) -> Shop:
    """A workspace as `carillon up` finds it: its files, and its store in `.carillon/`."""
    (folder / ".carillon").mkdir(parents=True)
    store = open_store(f"sqlite:///{folder / '.carillon' / 'carillon.db'}")
    return Shop(store, folder, VirtualClock(to_micros(datetime.now(UTC))))

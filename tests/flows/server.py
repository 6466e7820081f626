"""What a Prefect server shows, asked over its API, and the workspace that the flows of a test work in."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from carillon.cli.prefect_side import environment, free_port, prefect_home, start_server
from carillon.settings import read_settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """A running Prefect server."""

    api_url: str
    root: Path

    def ask(self, what: str, **wanted: Any) -> list[dict[str, Any]]:
        """Everything of a kind (`flow_runs`, `logs`, …) that passes the filters."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._post(f"{what}/filter", {**wanted, "limit": 200, "offset": len(found)})
            found += page
            if len(page) < 200:
                return found

    def _post(self, path: str, said: Any) -> Any:
        answer = httpx.post(f"{self.api_url}/{path}", json=said, timeout=30, trust_env=False)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any] | None:
        """The deployment of that name."""
        found = self.ask("deployments", deployments={"name": {"any_": [name]}})
        return found[0] if found else None

    def runs(self, name: str, *states: str) -> list[dict[str, Any]]:
        """The runs of a flow in these states (all: none named), the earliest first."""
        wanted: dict[str, Any] = {"state": {"type": {"any_": list(states)}}} if states else {}
        return self.ask("flow_runs", flows={"name": {"any_": [name]}}, flow_runs=wanted, sort="EXPECTED_START_TIME_ASC")

    def planned(self, name: str) -> list[datetime]:
        """When the runs start that were planned one by one."""
        return sorted(_instant(run) for run in self.runs(name, "SCHEDULED") if not run["auto_scheduled"])

    def by_schedule(self, name: str) -> list[datetime]:
        """When the runs start that the schedule has made."""
        return sorted(_instant(run) for run in self.runs(name, "SCHEDULED") if run["auto_scheduled"])

    def tasks(self, run_id: str) -> list[str]:
        """The names of a run's tasks, in their order."""
        found = self.ask("task_runs", flow_runs={"id": {"any_": [run_id]}})
        return [task["name"] for task in sorted(found, key=lambda task: str(task["start_time"]))]

    def lines(self, run_id: str) -> list[str]:
        """What a run has logged."""
        found = self.ask("logs", logs={"flow_run_id": {"any_": [run_id]}}, sort="TIMESTAMP_ASC")
        return [line["message"] for line in found]

    def artifacts(self, run_id: str) -> list[dict[str, Any]]:
        """What a run has left."""
        return self.ask("artifacts", flow_runs={"id": {"any_": [run_id]}})


def _instant(run: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(run["next_scheduled_start_time"] or run["expected_start_time"])


def soon(ask: Callable[[], T], *, within_s: float = 30) -> T:
    """The first answer that is not empty: Prefect records tasks, logs and schedules some seconds later."""
    end = time.monotonic() + within_s
    while not (answer := ask()) and time.monotonic() < end:
        time.sleep(0.2)
    return answer


@contextmanager
def serving(root: Path, template: Path) -> Iterator[Server]:
    """A server of its own in `root`, that this process and its children talk to until the block ends.

    `template` is Prefect's home as a first start makes it.
    """
    settings = read_settings({}, root=root)
    shutil.copytree(template, prefect_home(settings))
    child, api_url = start_server(settings, free_port())
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(settings, api_url).items():
                patch.setenv(name, value)
            from prefect.context import use_profile
            from prefect.settings import Profile

            with use_profile(Profile(name="test", settings={}), include_current_context=False):
                yield Server(api_url, root)
    finally:
        child.stop()

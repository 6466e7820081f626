"""Prefect as seen from the command line: processes that are started, told and stopped; never an import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from carillon.settings import Settings

HEALTHY_WITHIN_S = 180
"""A fresh server makes its database first: 9 to 19 s alone, much longer on a busy machine."""
API_FILE = "api_url"
WORKER_PATIENCE_S = 70.0
"""Longer than `flows/start_worker.py` waits for its runs."""


def prefect_home(settings: Settings) -> Path:
    """Where the Prefect of this workspace keeps its runs."""
    return settings.state_dir / "prefect"


def environment(settings: Settings, api_url: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a server, worker or run; what is set already wins over our defaults."""
    ours = {
        "PREFECT_HOME": str(prefect_home(settings)),
        # Leases in memory die with the server and leave a deployment's slot taken for ever.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "carillon",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        # Runs of a schedule are made five minutes ahead, not an hour: what is planned can be read in a list.
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT5M",
    }
    return {**ours, **os.environ, "PREFECT_API_URL": api_url, **(extra or {})}


@dataclass(frozen=True, slots=True)
class Child:
    """A process of Prefect's that we started."""

    name: str
    process: subprocess.Popen[bytes]
    patience_s: float = 10.0
    """How long it may take to end in order."""

    def stop(self) -> None:
        """End it: asked first, killed when it does not listen."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def api_at(port: int) -> str:
    """The API of a server that listens at this port of loopback."""
    return f"http://127.0.0.1:{port}/api"


def start_server(settings: Settings, port: int) -> tuple[Child, str]:
    """Start a Prefect server on loopback and wait until it answers; raises TimeoutError or ChildProcessError."""
    child, api_url = launch_server(settings, port)
    wait_for_server(settings, child, api_url)
    return child, api_url


def launch_server(settings: Settings, port: int) -> tuple[Child, str]:
    """Start a Prefect server on loopback; it answers some seconds later (`wait_for_server`)."""
    api_url = api_at(port)
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING"]
    return _start(settings, "Prefect server", command, api_url), api_url


def wait_for_server(settings: Settings, child: Child, api_url: str) -> None:
    """Wait until the server answers; raises TimeoutError or ChildProcessError."""
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while not is_healthy(api_url):
        if child.process.poll() is not None:
            log = _log(settings, child.name)
            raise ChildProcessError(f"the Prefect server ended at once: {_last_words(log)} (see {log})")
        if time.monotonic() > deadline:
            child.stop()
            raise TimeoutError(f"the Prefect server did not answer within {HEALTHY_WITHIN_S} s")
        time.sleep(0.25)
    (prefect_home(settings) / API_FILE).write_text(api_url)


def start_worker(settings: Settings, api_url: str) -> Child:
    """Start a process worker on our pool, which must exist; when it is stopped its runs settle what they have in hand."""
    return _start(settings, "Prefect worker", ["flows.start_worker"], api_url, patience_s=WORKER_PATIENCE_S)


def _start(settings: Settings, name: str, command: list[str], api_url: str, patience_s: float = 10.0) -> Child:
    log = _log(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment(settings, api_url), cwd=settings.root,
            stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    return Child(name, process, patience_s)


def _log(settings: Settings, name: str) -> Path:
    return prefect_home(settings) / f"{name.lower().replace(' ', '-')}.log"


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "without a word"


def is_healthy(api_url: str) -> bool:
    """Does a Prefect server answer there?"""
    try:
        return httpx.get(f"{api_url}/health", timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def reachable_api(settings: Settings) -> str | None:
    """The API of the configured or running server, if it answers."""
    urls = [os.environ.get("PREFECT_API_URL", "")]
    noted = prefect_home(settings) / API_FILE
    if noted.exists():
        urls.append(noted.read_text().strip())
    return next((url for url in urls if url and is_healthy(url)), None)


def deploy(settings: Settings, api_url: str, *, nothing_runs: bool = False) -> dict[str, list[str]]:
    """Bring a server in line with the store; raises ChildProcessError with what it printed.

    `nothing_runs`: no worker is at work for this store, so runs that seem to be under way are lost.
    """
    said = ["--nothing-runs"] if nothing_runs else []
    done = subprocess.run(
        [sys.executable, "-m", "flows.deploy_campaigns", *said], env=environment(settings, api_url), cwd=settings.root,
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ChildProcessError(done.stderr.strip()[-2000:] or "the deployment ended without a word")
    told: dict[str, list[str]] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def deploy_where_reachable(settings: Settings) -> str:
    """Deploy if a server answers; a sentence about what was done, or when it will be."""
    api_url = reachable_api(settings)
    if api_url is None:
        return "No Prefect server answers: the deployments follow at the next `carillon up`."
    told = deploy(settings, api_url)
    removed = f", removed {', '.join(told['removed'])}" if told["removed"] else ""
    return f"deployed {', '.join(told['deployed']) or 'nothing'}{removed} ({api_url})"


def free_port() -> int:
    """A port of loopback that nobody uses."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

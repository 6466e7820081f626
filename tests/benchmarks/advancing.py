"""One advance in a fresh process: `python -m tests.benchmarks.advancing URL SINK NOW` prints what it took as JSON.

A process of its own, so that its memory is a worker's: idle is the store open and everything imported, growth the most
that it grew by afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from tests.benchmarks.sink import Sink


@dataclass(slots=True)
class Run:
    """What an advance took: seconds by stage, CPU seconds, bytes, people by what became of them."""

    wall: float = 0.0
    cpu: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    stage_cpu: dict[str, float] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    idle: int = 0
    growth: int = 0


def advance_apart(url: str, sink: Sink, now: int) -> Run:
    """The advance of `picks`, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.advancing", url, sink.url, str(now)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Run(**json.loads(answer.stdout))


def main(url: str, sink_url: str, now: str) -> None:
    from carillon.advance.advance import advance
    from carillon.advance.engine import Engine
    from carillon.advance.stages import Stage
    from carillon.kernel.clock import SystemClock, VirtualClock
    from carillon.store.engine import Store
    from connectors.sendgrid import connector as sendgrid
    from tests.shop import KEYS

    settings = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": sink_url}
    store = Store(url)
    engine = Engine(
        store, lambda: {"sendgrid": sendgrid.make(settings)}, {"sendgrid": 1000}, KEYS, VirtualClock(int(now)),
        SystemClock(),
    )  # fmt: skip
    run = Run()

    def perform(title: str, stage: Callable[[], Stage], *, is_long: bool = False) -> Stage:
        wall, cpu = time.perf_counter(), _cpu()
        done = stage()
        name = "hand over" if is_long else title
        run.stages[name] = run.stages.get(name, 0.0) + time.perf_counter() - wall
        run.stage_cpu[name] = run.stage_cpu.get(name, 0.0) + _cpu() - cpu
        return done

    with store.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    with _growth(run):
        wall, cpu = time.perf_counter(), _cpu()
        advanced = advance(engine, "picks", perform=perform)
        run.wall, run.cpu = time.perf_counter() - wall, _cpu() - cpu
    run.people = dict(advanced.work.people)
    store.close()
    print(json.dumps(asdict(run)))


def _cpu() -> float:
    return sum(os.times()[:4])


@contextmanager
def _growth(run: Run) -> Iterator[None]:
    """Watches what the process holds of its own: pages of files that are mapped belong to the machine's cache."""
    run.idle, over = _held(), threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            run.growth = max(run.growth, _held() - run.idle)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    yield
    over.set()
    watcher.join()


def _held() -> int:
    with open("/proc/self/status") as status:
        return sum(int(line.split()[1]) * 1024 for line in status if line.startswith(("RssAnon", "RssShmem")))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One advance in a fresh process: `python -m tests.benchmarks.advancing URL SINK NOW` prints what it took as JSON.

A process of its own, so that its memory is a worker's: idle is the store open and everything imported, growth the most
that it grew by afterwards. `… NOW work` hands over what is ready: it says "ready" once it has started, and begins when told.
`… NOW plan` takes everybody in and decides them, and hands nobody over.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from carillon.advance.advance import advance
from carillon.advance.engine import Engine
from carillon.advance.stages import Stage
from carillon.delivery.reserve import reserve
from carillon.delivery.work import work
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.kernel.clock import DAY, SystemClock, VirtualClock
from carillon.kernel.worker import worker_id
from carillon.store.engine import Store
from connectors.sendgrid import connector as sendgrid
from tests.benchmarks.ground import watch
from tests.benchmarks.sink import Sink
from tests.shop import KEYS


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
    return _apart(url, sink.url, now, "advance")


def plan_apart(url: str, now: int) -> Run:
    """Enter and reserve of `picks`, one after the other, in a process of its own."""
    return _apart(url, "http://127.0.0.1:1", now, "plan")


def _apart(url: str, sink_url: str, now: int, what: str) -> Run:
    command = [sys.executable, "-m", "tests.benchmarks.advancing", url, sink_url, str(now), what]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Run(**json.loads(answer.stdout))


def work_apart(url: str, sink: Sink, now: int, workers: int, postmaster: int | None) -> Run:
    """Enter and reserve here, then hand over in so many processes at once: the wall of the hand-over, and all its CPU.

    A worker stands all day: all have started before the clock does, and none begins before the others.
    """
    store = Store(url)
    engine = _engine(store, sink.url, now)
    ground = load_ground(store, "picks", now)
    enter(ground)
    reserve([ground], max_people=engine.max_people)
    store.close()
    command = [sys.executable, "-m", "tests.benchmarks.advancing", url, sink.url, str(now), "work"]
    helpers = [_started(command) for _ in range(workers)]
    with watch(sink.pid, *(() if postmaster is None else (postmaster,))) as spent:
        before = sum(os.times()[2:4])
        for helper in helpers:
            helper.stdin.write("go\n")  # type: ignore[union-attr]
            helper.stdin.flush()  # type: ignore[union-attr]
        runs = [Run(**json.loads(helper.communicate()[0])) for helper in helpers]
        theirs = sum(os.times()[2:4]) - before
    people = sum((Counter(run.people) for run in runs), Counter())
    # What a worker takes to start is no recipient's.
    cpu = spent.cpu - theirs + sum(run.cpu for run in runs)
    return Run(max(run.wall for run in runs), cpu, people=dict(people))


def _started(command: list[str]) -> subprocess.Popen[str]:
    helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    said = helper.stdout.readline()  # type: ignore[union-attr]
    assert said == "ready\n", said
    return helper


def _engine(store: Store, sink_url: str, now: int) -> Engine:
    settings = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": sink_url}
    return Engine(
        store, lambda: {"sendgrid": sendgrid.make(settings)}, {"sendgrid": 1000}, KEYS, VirtualClock(now), SystemClock()
    )


def main(url: str, sink_url: str, now: str, what: str = "advance") -> None:
    store, run = Store(url), Run()
    engine = _engine(store, sink_url, int(now))
    with store.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    if what == "work":
        # A day before anything is due: what a worker imports and compiles to look for work is done.
        asyncio.run(_work(_engine(store, sink_url, int(now) - DAY)))
        print("ready", flush=True)
        sys.stdin.readline()
    with _growth(run):
        wall, cpu = time.perf_counter(), _cpu()
        run.people = dict(_do(engine, run, what))
        run.wall, run.cpu = time.perf_counter() - wall, _cpu() - cpu
    store.close()
    print(json.dumps(asdict(run)))


def _do(engine: Engine, run: Run, what: str) -> Mapping[str, int]:
    match what:
        case "advance":
            return _advance(engine, run)
        case "plan":
            return _plan(engine)
        case _:
            return asyncio.run(_work(engine))


def _plan(engine: Engine) -> Mapping[str, int]:
    ground = load_ground(engine.store, "picks", engine.campaign_clock.now())
    enter(ground)
    decided = reserve([ground], max_people=engine.max_people)
    return {"ready": sum(one.ready for one in decided["picks"])}


def _advance(engine: Engine, run: Run) -> Mapping[str, int]:
    def perform(title: str, stage: Callable[[], Stage], *, is_long: bool = False) -> Stage:
        wall, cpu = time.perf_counter(), _cpu()
        done = stage()
        name = "hand over" if is_long else title
        run.stages[name] = run.stages.get(name, 0.0) + time.perf_counter() - wall
        run.stage_cpu[name] = run.stage_cpu.get(name, 0.0) + _cpu() - cpu
        return done

    return advance(engine, "picks", perform=perform).work.people


async def _work(engine: Engine) -> Mapping[str, int]:
    connectors = engine.make_connectors()
    done = await work(
        engine.store, connectors=connectors, rules=load_ground(engine.store, "picks", engine.campaign_clock.now()).rules,
        keyring=engine.keyring, campaign_clock=engine.campaign_clock, machine_clock=engine.machine_clock,
        worker=worker_id(),
    )  # fmt: skip
    await asyncio.gather(*(connector.close() for connector in connectors.values()))
    return done.people


def _cpu() -> float:
    return sum(os.times()[:4])


@contextmanager
def _growth(run: Run) -> Iterator[None]:
    """Watches what the process and its children hold of their own: pages of files that are mapped belong to the machine's cache."""
    run.idle, over = _held(), threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            run.growth = max(run.growth, _held() - run.idle)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    yield
    over.set()
    watcher.join()


def _held() -> int:
    """Of this process and of those that it started and that still run."""
    return sum(map(_held_by, ["self", *_children()]))


def _children() -> list[str]:
    found: list[str] = []
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found += (thread / "children").read_text().split()
    return found


def _held_by(pid: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))


if __name__ == "__main__":
    main(*sys.argv[1:])

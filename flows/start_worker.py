"""A process worker of Prefect's that ends in order: its runs finish what they have in hand before it goes.

Prefect's own `worker start` kills the processes of its runs at once when it is told to stop, in the middle of a hand-over.
Run as a program (`python -m flows.start_worker [--name NAME]`) it works on our pool until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

import psutil
from prefect.workers.process import ProcessWorker

from flows.prepare_prefect import POOL

PATIENCE_S = 60
"""Longer than a provider may take to answer (30 s): who is still there then is killed with the worker."""
LOOK_EVERY_S = 0.2


async def work(name: str | None) -> None:
    """Work until a signal says stop; a second one stops at once."""
    stop = asyncio.Event()
    worker = ProcessWorker(work_pool_name=POOL, name=name)
    working = asyncio.create_task(worker.start())
    stopping = asyncio.create_task(_end_runs(stop, working))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: working.cancel() if stop.is_set() else stop.set())
    try:
        await working
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        stopping.cancel()


async def _end_runs(stop: asyncio.Event, working: asyncio.Task[None]) -> None:
    """When it is time, ask each run to stop, wait for all of them, then end the worker."""
    await stop.wait()
    asked: set[psutil.Process] = set()
    end = asyncio.get_running_loop().time() + PATIENCE_S
    # Runs that the worker begins meanwhile are asked too. It lives until the last has gone: it tells how they ended.
    while (runs := psutil.Process().children()) and asyncio.get_running_loop().time() < end:
        for run in set(runs) - asked:
            asked.add(run)
            run.terminate()
        await asyncio.sleep(LOOK_EVERY_S)
    working.cancel()


def main() -> None:
    """Read the arguments and work."""
    arguments = argparse.ArgumentParser(prog="python -m flows.start_worker", description=__doc__)
    arguments.add_argument("--name", help="the worker's name in the UI; Prefect makes one up where it is left out")
    asyncio.run(work(arguments.parse_args().name))


if __name__ == "__main__":
    main()

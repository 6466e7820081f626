"""Who holds a lease: a process named so that another process on the same host can see that it is gone.

A process id alone comes back after a while, and in another container it is another process. So a worker is the host
(its name, its boot, its space of process ids), the process id and when the process started: on Linux in ticks since the
boot, which no change of the clock moves, elsewhere in seconds of the clock.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

TICKS = "t"
"""Stands before a start that is counted in ticks since the boot."""

_START_TOLERANCE_S = 2
"""A start in seconds is computed from the boot instant, which moves by a moment when the clock is set."""


@cache
def worker_id() -> str:
    """The present process, as written into leases."""
    import psutil

    pid = os.getpid()
    started = _ticks(pid) or str(int(psutil.Process().create_time()))
    return f"{_host()}/{pid}/{started}"


def is_gone(worker: str) -> bool:
    """Whether this worker certainly lives no more. False for what cannot be seen from here: then its lease decides."""
    import psutil

    host, _, rest = worker.partition("/")
    pid, _, started = rest.partition("/")
    started = started.partition("/")[0]
    if host != _host() or not pid.isdigit() or not started.removeprefix(TICKS).isdigit():
        return False
    try:
        alive = psutil.Process(int(pid))
        return not _is_same(alive, started) or alive.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _is_same(alive: psutil.Process, started: str) -> bool:
    if started.startswith(TICKS):
        return _ticks(alive.pid) == started
    return abs(alive.create_time() - int(started)) <= _START_TOLERANCE_S


def _ticks(pid: int) -> str | None:
    """When a process started, as `proc_pid_stat(5)` has it in field 22; None where there is no /proc."""
    stat = _first_line(f"/proc/{pid}/stat")
    return f"{TICKS}{stat.rpartition(')')[2].split()[19]}" if stat else None


@cache
def _host() -> str:
    parts = [socket.gethostname(), _first_line("/proc/sys/kernel/random/boot_id"), _pid_space()]
    return ":".join(part.replace("/", "_") for part in parts)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _pid_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""

"""Who holds a lease: a process named so that another process on the same host can see that it is gone.

A process id alone comes back after a while, and in another container it is another process. So a worker is the host
(its name, its boot, its space of process ids), the process id and the second in which the process started.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

_START_TOLERANCE_S = 2
"""psutil computes a start from the boot instant, which moves by a moment when the clock is set."""


@cache
def worker_id() -> str:
    """The present process, as written into leases."""
    import psutil

    return f"{_host()}/{os.getpid()}/{int(psutil.Process().create_time())}"


def is_gone(worker: str) -> bool:
    """Whether this worker certainly lives no more. False for what cannot be seen from here: then its lease decides."""
    import psutil

    host, _, rest = worker.partition("/")
    pid, _, started = rest.partition("/")
    started = started.partition("/")[0]
    if host != _host() or not pid.isdigit() or not started.isdigit():
        return False
    try:
        alive = psutil.Process(int(pid))
        same = abs(alive.create_time() - int(started)) <= _START_TOLERANCE_S
        return not same or alive.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


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

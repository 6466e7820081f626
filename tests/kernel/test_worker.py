"""A worker's name tells another process of the same host whether it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from carillon.kernel.worker import is_gone, worker_id

SAYS_ITS_NAME = "from carillon.kernel.worker import worker_id; print(worker_id(), flush=True); input()"


def test_a_process_is_there_until_it_ends() -> None:
    child = subprocess.Popen([sys.executable, "-c", SAYS_ITS_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    name = child.stdout.readline().decode().strip()
    assert name.split("/")[1] == str(child.pid)
    assert not is_gone(name)
    child.kill()
    child.communicate()
    assert is_gone(name)


def test_a_part_of_a_process_is_gone_with_it() -> None:
    assert not is_gone(f"{worker_id()}/2")


def test_the_same_number_given_to_a_later_process_is_another_worker() -> None:
    host, pid, started = worker_id().split("/")
    later = started[:-1] + str((int(started[-1]) + 1) % 10)
    assert is_gone(f"{host}/{pid}/{later}0")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux counts from the boot")
def test_a_start_is_counted_from_the_boot_so_that_setting_the_clock_kills_nobody() -> None:
    started = worker_id().rsplit("/", 1)[1]
    assert started.startswith("t")
    assert int(started[1:]) < 10**9, "ticks of a hundredth; seconds since 1970 would be more"


def test_what_lives_elsewhere_is_left_to_its_lease() -> None:
    _, pid, started = worker_id().split("/")
    assert not is_gone(f"another-host:boot:pid/{pid}/{started}")
    assert not is_gone("what was this")

"""Starting `carillon up` in a test, and ending what a failed test leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.machine import READY_WITHIN_S, Up, launch, soon, workspace
from tests.shop import Shop

Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path, prefect_home: Path) -> Iterator[Start]:
    """Starts `carillon up` in a folder and waits until everything runs; kills what a failed test leaves."""
    started: list[Up] = []

    def begin(folder: Path, *options: str, wait: bool = True, **environ: str) -> Up:
        log = tmp_path / f"up{len(started)}.log"
        up = launch(folder, log, options, {"PREFECT_HOME": str(prefect_home), **environ})
        started.append(up)
        if wait:
            soon(lambda: "Everything runs" in up.said or up.process.poll() is not None, READY_WITHIN_S)
            assert up.process.poll() is None, up.said
        return up

    yield begin
    for up in started:
        if up.process.poll() is None:
            up.kill_everything()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The workspace of a test."""
    shop = workspace(tmp_path / "shop")
    yield shop
    shop.store.close()


@pytest.fixture(scope="module")
def prefect_home(prefect_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's home of these tests: a fresh one costs a quarter of a minute each time."""
    home = tmp_path_factory.mktemp("prefect")
    shutil.copytree(prefect_template, home, dirs_exist_ok=True)
    return home

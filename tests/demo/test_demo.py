"""The demo itself: a short one from nothing to its report, and what it leaves alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from carillon.cli.demo_phases import DemoError, run_demo
from carillon.demo.servers import OnToldTime, ToldClock
from carillon.kernel.clock import VirtualClock
from carillon.store.sqlite import driver
from tests.shop import instant


def _rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    connection = driver.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.timeout(240)
def test_a_day_of_the_demo_runs_through_prefect_and_ends_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its messages lie in the sandbox, its runs and report in Prefect, and no process is left."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    folder = tmp_path / "demo"
    run_demo(folder, None, 300, seed=1, days=1)
    said = capsys.readouterr().out.strip().splitlines()
    assert said[-1].replace("\n", "").endswith("carillon up")
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before

    sent = _rows(folder / ".carillon/sandbox/sandbox.db", "SELECT count(*) FROM message")[0][0]
    settled = "SELECT sum(n) FROM batch WHERE state = 'accepted'"
    assert (sent, sent > 20) == (_rows(folder / ".carillon/carillon.ledger.db", settled)[0][0], True)
    assert f"{sent:,} messages sent" in (folder / "report.html").read_text(encoding="utf-8")

    runs = _rows(
        folder / ".carillon/prefect/prefect.db",
        "SELECT f.name, r.state_type, r.parameters FROM flow_run r JOIN flow f ON f.id = r.flow_id ORDER BY r.created",
    )
    instants = [json.loads(parameters)["now"] for _, _, parameters in runs]
    assert {(name, state) for name, state, _ in runs} == {("spring_sale", "COMPLETED")}
    assert instants[:3] == ["2027-03-07T20:00:00+00:00", "2027-03-08T08:00:00+00:00", "2027-03-08T12:00:00+00:00"]
    keys = _rows(
        folder / ".carillon/prefect/prefect.db", "SELECT count(*) FROM artifact WHERE key = 'report-spring-sale'"
    )
    assert keys == [(len(runs),)]


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path: Path) -> None:
    """It says so, and every file is still there."""
    (tmp_path / "letters.txt").write_text("dear all")
    with pytest.raises(DemoError, match="not empty and no earlier demo"):
        run_demo(tmp_path, None, 300, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_the_web_of_the_demo_hears_when_a_link_was_followed() -> None:
    """A request that names an instant happens then; the next one happens at the clock's."""
    clock, heard = ToldClock(VirtualClock(instant("2027-03-09 09:00"))), []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        heard.append(clock.now())

    async def call(*headers: tuple[bytes, bytes]) -> None:
        await OnToldTime(inner)({"type": "http", "headers": list(headers)}, None, None)  # type: ignore[arg-type]

    async def both() -> None:
        await call((b"x-sandbox-at", b"2027-03-08T10:11:12+01:00"))
        await call()

    asyncio.run(both())
    assert heard == [instant("2027-03-08 10:11") + 12_000_000, clock.clock.now()]

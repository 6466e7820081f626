"""Prefect's server, worker and runs are stopped and killed in the middle of hand-overs: nobody gets two, nothing stays stuck."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest
import sqlalchemy as sa

from carillon.kernel.clock import VirtualClock, to_micros
from carillon.store import tables as t
from carillon.store.migrate import open_store
from tests.cli.conftest import Start
from tests.cli.machine import Up, soon
from tests.crash.house import DAILY, GERMAN, House, sink, wait_until

pytestmark = pytest.mark.timeout(600)

TWO_MINUTES = 120
UNDER_WAY = ("PENDING", "RUNNING", "CANCELLING")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A shop of 1,200 people on a provider that takes half a second for each answer; nothing is due yet."""
    (tmp_path / "shop" / ".carillon").mkdir(parents=True)
    store = open_store(f"sqlite:///{tmp_path / 'shop' / '.carillon' / 'carillon.db'}")
    with sink(seed=12) as provider:
        house = House(store, tmp_path / "shop", provider)
        house.shop.clock = VirtualClock(to_micros(datetime.now(UTC)))
        house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
        house.shop.campaign("quiet", "entry: {api: true}\njourney: [{email: sale}]\n", GERMAN)
        house.people(1_200, gold=0.1)
        house.shop.apply("quiet")
        provider.set(moods={"slow": 1.0}, slow_s=0.5)
        yield house
    store.close()


def begin(house: House, up: Up) -> psutil.Process:
    """Apply the letter of every day, once, at this minute; the process of Prefect's run, when it hands over."""
    while (at := datetime.now(ZoneInfo("Europe/Berlin"))).second > 40:  # nor so late that the engine takes it first
        time.sleep(0.5)
    entry = f"{{at: {at:%Y-%m-%d %H:%M}, if_late: skip after 2h}}"
    house.shop.campaign("sale", DAILY.replace("{every: day, at: 10:00}", entry), GERMAN)
    assert "deployed quiet, sale" in house.command("apply", "sale")
    hands_over(house)
    run = up.child("run")
    assert run is not None, up.said
    return run


def hands_over(house: House) -> None:
    """More arrives than before: somebody hands over right now, a run of Prefect's or, where none comes, the engine."""
    before, began = len(house.sink.arrived), time.monotonic()
    wait_until(lambda: len(house.sink.arrived) > before + 40, TWO_MINUTES, every_s=0.3)
    assert time.monotonic() - began < TWO_MINUTES


def in_order(house: House) -> dict[str, int]:
    """What became of everybody, when nothing is claimed, nothing is taken by a worker, and the sums hold."""
    states = house.states()
    assert "claimed" not in states
    with house.store.read() as connection:
        held = sa.select(sa.func.count()).where(t.batch.c.state == "ready", t.batch.c.worker.is_not(None))
        assert connection.scalar(held) == 0
    assert house.violations() == []
    assert max(house.reached().values()) == 1
    return states


def nothing_is_stuck(up: Up) -> None:
    """No run seems under way, no slot is taken, and no more than one run waits to begin."""
    assert soon(lambda: up.runs(*UNDER_WAY) == [] and up.slots_taken("sale") == 0)
    now = datetime.now(UTC)
    due = [r for r in up.runs("SCHEDULED") if datetime.fromisoformat(r["next_scheduled_start_time"]) <= now]
    assert len(due) <= 1


def test_a_campaign_outlives_its_run_its_server_and_a_stop(house: House, start: Start) -> None:
    """One hand-over of 1,200: its run gets SIGTERM, its server kill -9, then `up` SIGTERM; nobody is ever in doubt."""
    up = start(house.folder, **house.environ)
    run = begin(house, up)
    run.terminate()
    run.wait(20)
    assert set(in_order(house)) == {"accepted", "ready"}
    assert soon(lambda: [r["state_type"] for r in up.runs("COMPLETED")]) == ["COMPLETED"]

    server = up.child("server")
    assert server is not None
    server.kill()  # the rest is due now
    hands_over(house)
    assert "The Prefect server has ended (-9): starting it again" in up.said
    assert up.end(signal.SIGTERM, within_s=40) == 0
    assert up.said.endswith("Stopping …\n")
    assert set(in_order(house)) == {"accepted", "ready"}

    house.sink.moods()
    house.command("run", "sale")
    assert in_order(house) == {"accepted": 1_200}


@pytest.mark.soak
def test_power_cuts_in_mid_hand_over(house: House, start: Start) -> None:
    """Everything is killed three times while it hands over: each time it is taken up in two minutes, nothing is stuck."""
    up = start(house.folder, **house.environ)
    begin(house, up)
    up.kill_everything()
    for _ in range(2):
        up = start(house.folder, **house.environ)
        hands_over(house)
        up.kill_everything()
    house.sink.moods()
    up = start(house.folder, **house.environ)
    assert soon(lambda: set(house.states()) <= {"accepted", "unsure"}, TWO_MINUTES)
    nothing_is_stuck(up)
    states = in_order(house)
    assert sum(states.values()) == 1_200
    assert 0 < states["unsure"] < 1_200
    assert up.end(signal.SIGINT) == 0


@pytest.mark.soak
def test_a_server_that_hangs_holds_nobody_up(house: House, start: Start) -> None:
    """SIGSTOP: it takes connections and never answers. The engine hands over by itself, and goes on beside it."""
    up = start(house.folder, **house.environ)
    begin(house, up)
    server = up.child("server")
    assert server is not None
    server.suspend()
    house.sink.moods()
    assert soon(lambda: house.states() == {"accepted": 1_200}, TWO_MINUTES)
    server.resume()
    nothing_is_stuck(up)
    assert in_order(house) == {"accepted": 1_200}


@pytest.mark.soak
def test_a_run_whose_process_and_worker_are_gone_is_crashed_by_its_silence(house: House, start: Start) -> None:
    """No worker sees the run's process die; its heartbeats end, the automation calls it Crashed and its slot is free."""
    up = start(house.folder, **house.environ)
    run, worker = begin(house, up), up.child("worker")
    assert worker is not None
    (lost,) = up.runs("RUNNING")
    worker.kill()
    run.kill()
    assert soon(lambda: lost["id"] in {r["id"] for r in up.runs("CRASHED")}, TWO_MINUTES)
    house.sink.moods()
    assert soon(lambda: set(house.states()) <= {"accepted", "unsure"}, TWO_MINUTES)
    nothing_is_stuck(up)
    in_order(house)


@pytest.mark.soak
def test_missed_runs_do_not_pile_up(house: House, start: Start) -> None:
    """The worker hangs while eight runs become due: when it works again one or two of them run, the others are cancelled."""
    house.sink.moods()
    up = start(house.folder, **house.environ)
    begin(house, up)
    assert soon(lambda: house.states() == {"accepted": 1_200}, TWO_MINUTES)
    nothing_is_stuck(up)
    worker = up.child("worker")
    assert worker is not None
    worker.suspend()
    missed = {up.run_now("sale") for _ in range(8)}
    time.sleep(10)
    worker.resume()
    assert soon(lambda: not {r["id"] for r in up.runs("SCHEDULED", *UNDER_WAY)} & missed, TWO_MINUTES)
    ran = {r["id"] for r in up.runs("COMPLETED")} & missed
    assert 1 <= len(ran) <= 2
    assert {r["id"] for r in up.runs("CANCELLED")} == missed - ran
    nothing_is_stuck(up)

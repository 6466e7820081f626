"""SIGTERM and Ctrl-C in the middle of a hand-over: what is on the wire is settled, the rest waits untouched."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.advance.overdue import overdue
from carillon.kernel.clock import SystemClock
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.crash.house import DAILY, GERMAN, House, sink, wait_until
from tests.shop import instant

NOW = "2026-12-01T10:01"


@pytest.mark.timeout(120)
def test_who_was_claimed_by_a_killed_process_is_late(store: Store, tmp_path: Path) -> None:
    """Every batch was claimed, none is ready: the campaign is overdue at once, or nobody would ever take it up."""
    with sink(seed=15) as provider:
        house = House(store, tmp_path / "shop", provider)
        house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
        house.shop.campaign("daily", DAILY, GERMAN)
        house.people(20, gold=0.0)
        house.shop.apply("daily")
        child = house.start("run", "daily", "--now", NOW, crash_at="after_hand_over_before_settle")
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        assert set(house.states()) == {"claimed"}
        due = instant("2026-12-01 10:01")
        assert overdue(store, due, SystemClock().now()) == ["daily"]
        house.command("run", "daily", "--now", NOW)
        assert overdue(store, due, SystemClock().now()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.timeout(120)
def test_a_signal_ends_a_run_between_two_batches(sqlite_store: Store, tmp_path: Path, number: signal.Signals) -> None:
    """Nobody is in doubt, nothing stays claimed, the command says what is left; the next run hands it over, once."""
    with sink(seed=14) as provider:
        house = House(sqlite_store, tmp_path / "shop", provider)
        house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
        house.shop.campaign("daily", DAILY, GERMAN)
        house.people(500, gold=0.1)
        house.shop.apply("daily")
        provider.set(moods={"slow": 1.0}, slow_s=0.5)
        child = house.start("run", "daily", "--now", NOW)
        wait_until(lambda: provider.arrived)
        os.kill(child.pid or 0, number)
        child.join(20)
        assert child.exitcode == 1
        assert "Stopping when the batch in hand is settled …" in house.said
        assert "Stopped: what is left goes out with the next run" in house.said
        assert house.violations() == []
        states = house.states()
        assert set(states) == {"accepted", "ready"}
        assert states["accepted"] == len(provider.arrived)
        with sqlite_store.read() as connection:
            taken = sa.select(sa.func.count()).where(t.batch.c.state == "ready", t.batch.c.worker.is_not(None))
            assert connection.scalar(taken) == 0
        provider.moods()
        house.command("run", "daily", "--now", NOW)
        assert house.states() == {"accepted": 500}
        assert set(house.reached().values()) == {1}

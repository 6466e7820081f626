"""The store fails under a run: connections are cut, the disk is full. What has begun is settled, nobody gets two."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import StoreMaker
from tests.crash.house import DAILY, GERMAN, House, sink

NOW = "2026-12-01T10:01"
PEOPLE = 600


def daily(house: House) -> None:
    house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
    house.shop.campaign("daily", DAILY, GERMAN)
    house.people(PEOPLE)
    house.shop.apply("daily")


def settled(house: House) -> dict[str, int]:
    """Runs until nothing waits, then what the sends became."""
    for _ in range(10):
        house.command("run", "daily", "--now", NOW)
        states = house.states()
        if not states.get("ready") and not states.get("claimed"):
            return states
    raise AssertionError(f"not settled: {states}")


def check(house: House, states: dict[str, int]) -> None:
    assert house.violations() == []
    assert set(states) <= {"accepted", "unsure"}
    assert sum(states.values()) == PEOPLE
    reached, fates = house.reached(), house.fates()
    assert max(reached.values()) == 1
    assert {key for key, fate in fates.items() if fate == "accepted"} <= reached.keys()


@pytest.mark.postgres
@pytest.mark.timeout(180)
def test_every_connection_is_cut_again_and_again(new_store: StoreMaker, tmp_path: Path) -> None:
    """pg_terminate_backend on all connections of a run, five times: it ends with code 3 or goes on, the next one finishes."""
    with sink(seed=3) as provider:
        store = new_store("postgresql")
        house = House(store, tmp_path / "shop", provider)
        daily(house)
        provider.set(moods={"slow": 1.0}, slow_s=0.05)
        cut, codes = 0, []
        for number in range(5):
            child = house.start("run", "daily", "--now", NOW)
            now = 0
            while not now and child.is_alive():  # the run connects when it has begun
                time.sleep(0.1 * number)
                with store.read() as connection:
                    now = len(connection.execute(_CUT_ALL).all())
            cut += now
            child.join(60)
            codes.append(child.exitcode)
            assert house.violations() == []
        assert cut > 0
        assert set(codes) <= {0, 3}, house.said
        check(house, settled(house))


_CUT_ALL = sa.text(
    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()"""
)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("room_kb", [0, 60, 200, 400])
def test_a_full_disk_stops_a_run_before_the_next_claim(new_store: StoreMaker, tmp_path: Path, room_kb: int) -> None:
    """No file may grow by more than so much: the run ends with code 3 and a sentence, and goes on where there is room."""
    with sink(seed=4) as provider:
        store = new_store("sqlite")
        house = House(store, tmp_path / "shop", provider)
        daily(house)
        house.command("status")  # the part files are as large as they must be for a beginning
        wal = max(p.stat().st_size for p in store.files()["ledger"].parent.glob("*ledger.db*"))
        limit = wal + room_kb * 1024
        child = house.popen("run", "daily", "--now", NOW, limit=limit)
        said, _ = child.communicate(timeout=100)
        assert child.returncode == 3, said
        assert "The store failed: " in said
        assert house.violations() == []
        check(house, settled(house))

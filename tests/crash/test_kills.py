"""kill -9 at every named point and at any instant: nobody gets two, nobody is forgotten, what is doubtful stands as unsure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import STORES, StoreMaker
from tests.crash.house import House, sink
from tests.crash.ordeal import ANY_INSTANT, POINTS, Tally, run_ordeal


@pytest.mark.parametrize("dialect", STORES)
@pytest.mark.timeout(900)
def test_kills_write_to_nobody_twice_and_forget_nobody(
    dialect: str, new_store: StoreMaker, tmp_path: Path, to_table: Callable[[Tally], None]
) -> None:
    """24 kills, at each point and at any instant, while one request in twenty is throttled, lost, cut, late or answered 503."""
    with sink(seed=40) as provider:
        house = House(new_store(dialect), tmp_path / "shop", provider, slowed_still_runs=True)
        tally = run_ordeal(house, seed=40, people=200, days=3, kills=24)
    to_table(tally)
    assert tally.faults == []
    assert (tally.twice, tally.forgotten) == (0, 0)
    assert tally.kills >= 24
    assert tally.unsure == tally.by_report + tally.looked_up + tally.resent + tally.closed + tally.open
    assert set(tally.at) >= {*POINTS, ANY_INSTANT}


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dialect", STORES)
def test_a_hundred_kills_over_ten_thousand_sends(
    dialect: str, seed: int, new_store: StoreMaker, tmp_path: Path, to_table: Callable[[Tally], None]
) -> None:
    """Ten of these are 1,000 kills over 100,000 sends; their table stands at the end of the run."""
    with sink(seed) as provider:
        house = House(new_store(dialect), tmp_path / "shop", provider)
        tally = run_ordeal(house, seed=seed, people=1_000, days=10, kills=100)
    to_table(tally)
    assert tally.faults == []
    assert (tally.twice, tally.forgotten) == (0, 0)
    assert tally.kills >= 100
    assert tally.sends >= 10_000

"""Hillstrom's e-mail test: every number of the reference file comes out of the sums of three arms."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

import pytest

from carillon.evaluation.compare import compare, sample_ratio
from carillon.evaluation.model import Metric
from carillon.evaluation.moments import Moments

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILE, REFERENCE = DATA / "hillstrom.csv", DATA / "hillstrom_reference.md"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="../shared/data/hillstrom.csv is not here")

CONTROL = "No E-Mail"
METRICS: dict[str, Metric] = {"visit": "clicks", "conversion": "conversions", "spend": "revenue"}


@pytest.fixture(scope="module")
def arms() -> dict[tuple[str, str], Moments]:
    """Moments of each (arm, metric), summed row by row from the file."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with FILE.open(newline="") as source:
        for row in csv.DictReader(source):
            for metric in METRICS:
                found[row["segment"], metric].append(float(row[metric]))
    return {key: Moments(len(xs), sum(xs), sum(x * x for x in xs)) for key, xs in found.items()}


def rows_of_section(number: int) -> list[list[str]]:
    section = re.split(r"^## \d+\.", REFERENCE.read_text(), flags=re.M)[number]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return [row for row in rows if len(row) > 4 and row[1] in METRICS]


def numbers(cell: str) -> list[float]:
    return [float(n) for n in re.findall(r"[-+]?\d+\.?\d*(?:e[-+]\d+)?", cell)]


def printed(value: float, cell: str) -> bool:
    """Does `value` round to what the reference prints?"""
    (expected,) = numbers(cell)
    mantissa, _, exponent = cell.strip("+%").partition("e")
    digits = len(mantissa.partition(".")[2])
    return abs(value - expected) <= 0.5000001 * 10 ** (-digits + int(exponent or 0))


def test_the_arms_have_the_sizes_assigned(arms: dict[tuple[str, str], Moments]) -> None:
    """Sample-ratio check 1:1:1, p = 0.903693."""
    sizes = [moments.n for (_, metric), moments in arms.items() if metric == "visit"]
    mismatch = sample_ratio(sizes, [1, 1, 1])
    assert mismatch.p == pytest.approx(0.903693, abs=5e-7)
    assert not mismatch.warns


def test_every_effect_of_the_reference(arms: dict[tuple[str, str], Moments]) -> None:
    """Section 2: difference, interval, t, p and lift with its log-scale interval, to the last digit printed."""
    rows = rows_of_section(2)[:6]
    assert len(rows) == 6
    for arm, metric, control, mean, difference, interval, t, p, lift, lift_interval, _delta in rows:
        found = compare(arm, arms[arm, metric], CONTROL, arms[CONTROL, metric], METRICS[metric])
        assert printed(found.control_mean, control)
        assert printed(found.arm_mean, mean)
        assert printed(found.difference, difference)
        assert [found.interval.low, found.interval.high] == pytest.approx(numbers(interval), abs=5.1e-7)
        assert printed(found.t, t)
        assert printed(found.p, p)
        assert found.lift is not None
        assert found.lift_interval is not None
        assert printed(100 * found.lift, lift)
        percents = [100 * found.lift_interval.low, 100 * found.lift_interval.high]
        assert percents == pytest.approx(numbers(lift_interval.replace("%", "")), abs=0.0101)


def test_mens_against_womens(arms: dict[tuple[str, str], Moments]) -> None:
    """Section 5: the two e-mails against each other."""
    expected = {"visit": (0.031356, 3.7247e-18), "conversion": (0.003694, 2.0597e-04), "spend": (0.345415, 3.0469e-02)}
    for metric, (difference, p) in expected.items():
        found = compare("m", arms["Mens E-Mail", metric], "w", arms["Womens E-Mail", metric], METRICS[metric])
        assert found.difference == pytest.approx(difference, abs=5e-7)
        assert found.p == pytest.approx(p, rel=1e-4)

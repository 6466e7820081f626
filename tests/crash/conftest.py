"""The table of the kill suite, printed behind the results, and kept in the file that CARILLON_SOAK_TABLE names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.ordeal import Tally

TALLY = "tally"


@pytest.fixture
def to_table(record_property: Callable[[str, object], None]) -> Callable[[Tally], None]:
    """Where an ordeal leaves its numbers; they travel with the test's result, whichever process it ran in."""
    return lambda tally: record_property(TALLY, tally.packed())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for said in ("passed", "failed") for report in terminalreporter.getreports(said)]
    packed = [
        value for report in reports if report.when == "call" for key, value in report.user_properties if key == TALLY
    ]
    tallies = [Tally.unpacked(str(value)) for value in packed]
    if not tallies:
        return
    stores = dict.fromkeys(tally.store for tally in tallies)
    rows = [sum((tally for tally in tallies if tally.store == store), Tally(store)) for store in stores]
    terminalreporter.section("killed again and again")
    terminalreporter.write_line(Tally.table(rows))
    if kept := os.environ.get("CARILLON_SOAK_TABLE"):
        Path(kept).write_text(Tally.table(rows) + "\n")

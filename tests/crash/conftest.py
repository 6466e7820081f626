"""The table of the kill suite, printed behind the results."""

from __future__ import annotations

import pytest

from tests.crash.ordeal import Tally

_TALLIES: list[Tally] = []


@pytest.fixture
def tallies() -> list[Tally]:
    """Where an ordeal leaves its numbers for the table."""
    return _TALLIES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _TALLIES:
        return
    rows = [
        sum((tally for tally in _TALLIES if tally.store == store), Tally(store))
        for store in dict.fromkeys(tally.store for tally in _TALLIES)
    ]
    terminalreporter.section("killed again and again")
    terminalreporter.write_line(Tally.table(rows))

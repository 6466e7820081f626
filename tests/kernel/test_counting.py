"""Numbers in sentences: one is one."""

from __future__ import annotations

import pytest

from carillon.advance.stages import Stage
from carillon.kernel.counting import counted, people, verb


@pytest.mark.parametrize(
    ("said", "is_"),
    [
        (counted(0, "message"), "0 messages"), (counted(1, "message"), "1 message"), (counted(12_004, "row"), "12,004 rows"),
        (counted(2, "batch"), "2 batches"), (counted(2, "delivery", "deliveries"), "2 deliveries"),
        (f"{people(1)} {verb(1, 'wait')}", "1 person waits"), (f"{people(2)} {verb(2, 'wait')}", "2 people wait"),
        (f"{people(1)} {verb(1, 'are')}", "1 person is"), (f"{people(1)} {verb(1, 'have')}", "1 person has"),
        (f"{people(1)} {verb(1, 'were')}", "1 person was"), (f"{people(1)} {verb(1, 'go')}", "1 person goes"),
        (f"{people(0)} {verb(0, 'were')}", "0 people were"),
    ],
)  # fmt: skip
def test_a_number_and_its_noun_agree(said: str, is_: str) -> None:
    assert said == is_


def test_a_run_line_reads_one_event() -> None:
    """And several as before."""
    assert Stage("read what came in", counts={"events": 1}).line == "read what came in: 1 event"
    assert Stage("read what came in", counts={"events": 1_200}).line == "read what came in: 1,200 events"

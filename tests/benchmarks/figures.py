"""What a row of the table says, and which module measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.ground import Ground

Better = Literal["more", "less"]

ROWS: dict[str, str] = {
    "segment_sqlite": "segment",
    "segment_postgres": "segment",
    "import_contacts": "imports",
    "import_events": "imports",
    "email_sqlite": "email",
    "email_postgres": "email",
    "email_workers": "email",
    "email_sizes": "email",
    "sms": "sms",
    "smtp": "smtp",
    "event_to_send": "events",
    "campaign_run": "campaign",
    "campaign_flow": "campaign",
}
"""Row → its module in this folder, which has a function of the row's name: `def sms(ground: Ground) -> Iterable[Figure]`.
A row runs in a process of its own and may give several figures."""

Measure = Callable[[Ground], Iterable["Figure"]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `must` and `aim` are the issue's; what has no must of its own is shown for its own sake."""

    name: str
    value: float
    unit: str
    better: Better
    must: float | None = None
    aim: float | None = None
    against: str = ""
    """The peer or the naive loop that ran beside it, with its figure."""
    ratio: float | None = None
    """How many times better than that."""
    must_ratio: float | None = None
    cpu_us: float | None = None
    """CPU of all our processes for each unit, in microseconds: what a shared machine disturbs least."""
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether every must is reached; None where there is none."""
        demands: Sequence[bool | None] = (
            None if self.must is None else _reaches(self.value, self.must, self.better),
            None if self.must_ratio is None else (self.ratio or 0) >= self.must_ratio,
        )
        asked = [demand for demand in demands if demand is not None]
        return all(asked) if asked else None


def _reaches(value: float, wanted: float, better: Better) -> bool:
    return value >= wanted if better == "more" else value <= wanted

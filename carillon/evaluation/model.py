"""What an evaluation says; reports show it as it is.

Four answers are kept apart: figures, comparisons with their intervals, the leader (which variant the rest gets) and the
verdict (what the planned looks prove).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from carillon.evaluation.moments import Moments
from carillon.kernel.clock import Micros

Metric = Literal["delivered", "opens", "clicks", "conversions", "revenue"]
"""`opens` and `clicks` are unique people; revenue is in cents."""

METRICS: tuple[Metric, ...] = ("delivered", "opens", "clicks", "conversions", "revenue")


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm: who was exposed (sent or unsure; of the holdout the ghosts), and what they did."""

    arm: str
    exposed: int
    delivered: int
    opens: int
    hidden_opens: int
    """People whose only opens are a mail proxy's: neither yes nor no."""
    clicks: int
    conversions: int
    """People with at least one."""
    orders: int
    revenue: Moments
    """Cents per exposed person."""

    def moments(self, metric: Metric) -> Moments:
        """The metric per exposed person."""
        if metric == "revenue":
            return self.revenue
        return Moments.of_share(int(getattr(self, metric)), self.exposed)

    def events(self, metric: Metric) -> int:
        """How much has happened that the metric can be judged by: for revenue, its buyers."""
        return self.conversions if metric == "revenue" else int(getattr(self, metric))


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Comparison:
    """An arm against the control: the difference of means is what is tested; the lift is shown beside it."""

    arm: str
    control: str
    metric: Metric
    control_mean: float
    arm_mean: float
    difference: float
    interval: Interval
    t: float
    p: float
    lift: float | None
    """None where the control has nothing to grow from."""
    lift_interval: Interval | None
    lift_p: float | None


@dataclass(frozen=True, slots=True)
class Leader:
    """The variant that the rest gets; `arm` None: the rest is split, for this reason."""

    arm: str | None
    metric: Metric
    reason: Literal["leads", "too_few_events", "tie", "no_feedback", "mismatch", "control_unless_proven", "split"]
    p_best: float | None = None
    expected_loss: float | None = None
    """Of the metric per person, if another variant should be the better one."""


@dataclass(frozen=True, slots=True)
class LookRow:
    """One planned look that has been taken: how far it was, and the bound it had to cross."""

    no: int
    at: Micros
    information: float
    bound: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the planned looks prove; between them always `not_yet`."""

    state: Literal["not_yet", "proven", "not_proven", "no_material_difference", "invalid"]
    arm: str | None = None
    """The variant that is proven better, or worse, than the control."""
    is_better: bool = False
    look: int = 0
    """How many of the planned looks are over."""
    next_look_at: Micros | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Do the arms have the sizes that were assigned? `blocks` stops every decision."""

    p: float
    warns: bool
    blocks: bool


@dataclass(frozen=True, slots=True)
class TestResult:
    """Everything about one test or split, or about treated against held people."""

    experiment: str
    metric: Metric
    arms: tuple[ArmFigures, ...]
    comparisons: tuple[Comparison, ...]
    mismatch: Mismatch
    leader: Leader | None
    verdict: Verdict

"""One report model; terminal, JSON, HTML and the Prefect artifact show the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carillon.definition.model import Target
from carillon.evaluation.model import Comparison, TestResult
from carillon.kernel.clock import Micros


@dataclass(frozen=True, slots=True)
class Totals:
    """People and money of a campaign, or of a part of it. Money in cents."""

    sent: int = 0
    delivered: int = 0
    opened: int = 0
    hidden_opens: int = 0
    clicked: int = 0
    conversions: int = 0
    revenue: int = 0
    bounced: int = 0
    complained: int = 0
    unsubscribed: int = 0


@dataclass(frozen=True, slots=True)
class StepReport:
    """One message step: arrived = sent (unsure among them) + rejected + skipped by reason + ghosts + exited + waiting."""

    step_id: str
    channel: str
    totals: Totals
    unsure: int
    rejected: int
    waiting: int
    ghosts: int
    exited: int
    """Who left the campaign while standing here, before anything was decided about them."""
    skipped: Mapping[str, int]
    by_variant: Mapping[str, Totals]
    by_language: Mapping[str, Totals]
    by_country: Mapping[str, Totals]


@dataclass(frozen=True, slots=True)
class LeaderRow:
    """A leader as it was decided; `arm` empty: the rest was split."""

    step_id: str
    arm: str
    decided_at: Micros
    reason: str
    p_best: float | None


@dataclass(frozen=True, slots=True)
class Question:
    """A test or split as it stands, and when the next planned look is."""

    step_id: str
    result: TestResult
    next_look_at: Micros | None
    ended_at: Micros | None = None
    """When its words were changed and it began anew."""


@dataclass(frozen=True, slots=True)
class Money:
    """Against the holdout, and the cost. Cents; None where it cannot be said."""

    cost: float | None
    incremental: float | None
    """Revenue that the holdout says would not have come: difference per person × people treated."""
    incremental_low: float | None
    incremental_high: float | None
    roi: float | None
    roi_low: float | None = None
    roi_high: float | None = None
    spend: float = 0.0
    """What of the cost arose outside of Carillon."""
    attributed: int | None = None
    """Revenue of the orders whose last message was this campaign's; None without a goal."""
    attributed_orders: int = 0
    attributed_roi: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A further goal, which decides nothing: of those who were sent anything, and against the holdout."""

    event: str
    within: str
    conversions: int
    orders: int
    revenue: int
    against_holdout: tuple[Comparison, ...] = ()
    """By conversions and revenue, the intervals as wide as so many questions at once demand."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another campaign of the same series, in the numbers that can be set side by side."""

    campaign: str
    title: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is said about one campaign at one instant."""

    campaign: str
    title: str
    at: Micros
    zone: str
    currency: str
    state: str
    entered: int
    under_way: int
    not_entered: Mapping[str, int]
    exits: Mapping[str, int]
    totals: Totals
    steps: tuple[StepReport, ...]
    leaders: tuple[LeaderRow, ...]
    questions: tuple[Question, ...]
    holdout: TestResult | None
    money: Money
    newest_event: Micros | None
    newest_feedback: Micros | None
    target: Target | None = None
    also: tuple[Measured, ...] = ()
    series: str | None = None
    siblings: tuple[Sibling, ...] = ()
    """The other campaigns of the series, the one applied first before."""

    @property
    def unsure(self) -> int:
        return sum(s.unsure for s in self.steps)

    @property
    def waiting(self) -> int:
        return sum(s.waiting for s in self.steps)

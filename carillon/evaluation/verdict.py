"""Verdict: what the planned looks prove. Between looks the answer is "not yet", however good the numbers look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf
from typing import Literal

from carillon.evaluation.compare import compare
from carillon.evaluation.looks import bounds, even_bounds, planned_information
from carillon.evaluation.model import ArmFigures, Comparison, Interval, Metric, Mismatch, Verdict
from carillon.kernel.clock import HOUR, Micros

MATERIAL = 0.05
"""A lift within ±5 % is no material difference."""

MIN_EVENTS = 100
"""An arm with fewer events knows its lift no better than to ±28 %."""


@dataclass(frozen=True, slots=True)
class LookPlan:
    """The looks as registered before the first send: instants, what they may err, and how fast people come."""

    looks_at: tuple[Micros, ...]
    began_at: Micros
    metric: Metric
    alpha: float = 0.05
    is_broadcast: bool = True
    min_events: int = MIN_EVENTS
    correction: Literal["group_sequential", "bonferroni"] = "group_sequential"
    """How the looks share what may be erred: little early and nearly all at the last, or all alike."""

    def bounds(self, comparisons: int) -> tuple[float, ...]:
        """|z| to cross at each look, for so many variants against the control."""
        if self.correction == "bonferroni":
            return even_bounds(len(self.looks_at), self.alpha, max(comparisons, 1))
        hours = [(at - self.began_at) / HOUR for at in self.looks_at]
        return bounds(planned_information(hours, is_broadcast=self.is_broadcast), self.alpha, max(comparisons, 1))


def due_look(plan: LookPlan, taken: int, now: Micros) -> int | None:
    """The number (from 1) of the newest look that is due and not taken; earlier ones that were missed are forgone."""
    over = sum(at <= now for at in plan.looks_at)
    return over if over > taken else None


def verdict(
    arms: Sequence[ArmFigures],
    plan: LookPlan,
    taken: int,
    now: Micros,
    mismatch: Mismatch,
    earlier: Verdict | None = None,
) -> Verdict:
    """The verdict now, after `taken` looks; what an earlier look proved stands. The first arm is the control."""
    if earlier is not None and earlier.state in ("proven", "invalid"):
        return earlier
    look = due_look(plan, taken, now)
    if look is None:
        return earlier if earlier is not None and taken >= len(plan.looks_at) else _not_yet(plan, taken)
    if mismatch.blocks:
        return Verdict("invalid", look=look, reason=f"the arms do not have the sizes assigned (p = {mismatch.p:.2g})")
    is_last = look == len(plan.looks_at)
    if min(figures.events(plan.metric) for figures in arms) < plan.min_events:
        few = f"fewer than {plan.min_events} {_events_of(plan.metric)} in an arm"
        return Verdict("not_proven", look=look, reason=few) if is_last else _not_yet(plan, look, few)
    return _judge(arms, plan, look, is_last)


def _judge(arms: Sequence[ArmFigures], plan: LookPlan, look: int, is_last: bool) -> Verdict:
    bound = plan.bounds(len(arms) - 1)[look - 1]
    level = _level(bound)
    control, *variants = arms
    found = [
        compare(v.arm, v.moments(plan.metric), control.arm, control.moments(plan.metric), plan.metric, alpha=level)
        for v in variants
    ]
    proven = [comparison for comparison in found if _crosses(comparison, level)]
    if proven:
        best = max(proven, key=lambda comparison: comparison.difference)
        allowed = f"p = {best.p:.2g}, allowed at this look {level:.2g}"
        return Verdict("proven", best.arm, best.difference > 0, look, reason=allowed)
    if not is_last:
        return _not_yet(plan, look)
    if all(_is_small(comparison.lift_interval) for comparison in found):
        return Verdict("no_material_difference", look=look)
    return Verdict("not_proven", look=look)


def _crosses(comparison: Comparison, level: float) -> bool:
    """Skewed money in unequal arms fools Welch's test, and then the log ratio disagrees: both must say so."""
    if comparison.metric == "revenue" and comparison.lift_p is not None:
        return max(comparison.p, comparison.lift_p) < level
    return comparison.p < level


def _level(bound: float) -> float:
    """The two-sided p that belongs to a bound."""
    from scipy.special import ndtr

    return 0.0 if isinf(bound) else float(2 * ndtr(-bound))


def _is_small(interval: Interval | None) -> bool:
    return interval is not None and interval.low >= -MATERIAL and interval.high <= MATERIAL


def _not_yet(plan: LookPlan, look: int, reason: str = "") -> Verdict:
    following = plan.looks_at[look] if look < len(plan.looks_at) else None
    return Verdict("not_yet", look=look, next_look_at=following, reason=reason)


def _events_of(metric: Metric) -> str:
    return "buyers" if metric == "revenue" else metric

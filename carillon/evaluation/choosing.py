"""Choosing: which variant to send to the rest. No significance gate: it would throw away most of the gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, pi, sqrt
from typing import Literal

from carillon.evaluation.model import ArmFigures, Leader, Metric
from carillon.evaluation.moments import Moments

Policy = Literal["leader", "split", "control_unless_proven"]


def choose_leader(
    arms: Sequence[ArmFigures],
    metric: Metric,
    *,
    min_events: int = 25,
    policy: Policy = "leader",
    proven: str | None = None,
    is_mismatched: bool = False,
) -> Leader:
    """The variant with the best mean; the first arm is the control. Split where the numbers cannot say."""
    if not any(figures.events(metric) for figures in arms):
        return Leader(None, metric, "no_feedback")
    if is_mismatched:
        return Leader(None, metric, "mismatch")
    if policy == "split":
        return Leader(None, metric, "split")
    if policy == "control_unless_proven":
        return Leader(proven or arms[0].arm, metric, "leads" if proven else "control_unless_proven")
    if min(figures.events(metric) for figures in arms) < min_events:
        return Leader(None, metric, "too_few_events")
    return _best({figures.arm: figures.moments(metric) for figures in arms}, metric)


def _best(moments: Mapping[str, Moments], metric: Metric) -> Leader:
    ranked = sorted(moments, key=lambda arm: moments[arm].mean, reverse=True)
    first, others = moments[ranked[0]], [moments[arm] for arm in ranked[1:]]
    if others and others[0].mean == first.mean:
        return Leader(None, metric, "tie")
    loss = max((expected_loss(first, other) for other in others), default=0.0)
    return Leader(ranked[0], metric, "leads", p_best(first, others), loss)


def expected_loss(chosen: Moments, other: Moments) -> float:
    """What choosing costs per person on average, should the other be better: s·φ(d/s) − d·Φ(−d/s)."""
    from scipy.special import ndtr

    d = chosen.mean - other.mean
    s = sqrt(chosen.variance_of_mean + other.variance_of_mean)
    if s == 0:
        return max(-d, 0.0)
    return float(s * exp(-((d / s) ** 2) / 2) / sqrt(2 * pi) - d * ndtr(-d / s))


def p_best(chosen: Moments, others: Sequence[Moments]) -> float:
    """The chance that the chosen arm is better than all others, by the normal posterior of their means."""
    import numpy as np
    from scipy.special import ndtr

    s = sqrt(chosen.variance_of_mean)
    if s == 0 or any(other.variance_of_mean == 0 for other in others):
        return float(all(chosen.mean > other.mean for other in others))
    z, weight = np.polynomial.hermite_e.hermegauss(64)
    at = chosen.mean + s * z
    below = np.prod([ndtr((at - other.mean) / sqrt(other.variance_of_mean)) for other in others], axis=0)
    return float((weight * below).sum() / sqrt(2 * pi))

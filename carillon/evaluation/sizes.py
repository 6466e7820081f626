"""Sizes: how many people a test needs, what it can show, and how large a sample should be."""

from __future__ import annotations

from math import ceil, sqrt

from carillon.kernel.ids import BUCKETS

USUAL_SPREAD = 0.10
"""Standard deviation of the logarithm of e-mail versions' rates: between headlines (0.236) and site changes (0.007)."""

SMALLEST_SAMPLE, LARGEST_SAMPLE = 0.05, 0.50


def people_per_arm(rate: float, other: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """The people that each of two arms needs to tell `rate` from `other`."""
    spread = rate * (1 - rate) + other * (1 - other)
    return ceil(_z(alpha, power) ** 2 * spread / (rate - other) ** 2)


def detectable_lift(rate: float, treated: int, held: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true lift of `rate` that arms of these sizes show in `power` of all tests."""
    spread = rate * (1 - rate) * (1 / treated + 1 / held)
    return _z(alpha, power) * sqrt(spread) / rate


def detectable_text(rate: float, treated: int, held: int, noun: str, *, alpha: float = 0.05) -> str:
    """What the test can prove, as `plan` says it."""
    lift = detectable_lift(rate, treated, held, alpha=alpha)
    if lift > 1:
        return f"too small to prove anything but a doubling of {noun} ({rate:.2%} expected)"
    return f"proves a difference in {noun} from ±{lift:.0%} on ({rate:.2%} → {rate * (1 + lift):.2%}) in 4 of 5 cases"


def sample_to_test(audience: int, rate: float, arms: int = 2, *, spread: float = USUAL_SPREAD) -> int:
    """The share of the audience to test, in buckets of 10,000, that brings the most clicks in all (Feit & Berman 2019)."""
    ratio = rate * (1 - rate) / (rate * spread) ** 2
    per_arm = sqrt(audience / 4 * ratio + (0.75 * ratio) ** 2) - 0.75 * ratio
    share = arms * per_arm / audience
    return round(BUCKETS * min(max(share, SMALLEST_SAMPLE), LARGEST_SAMPLE))


def _z(alpha: float, power: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - alpha / 2) + ndtri(power))

"""Two arms compared from their sums: Welch's difference, the lift on the log scale, the sample-ratio check."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt

from carillon.evaluation.model import Comparison, Interval, Metric, Mismatch
from carillon.evaluation.moments import Moments

WARNS_BELOW, BLOCKS_BELOW = 0.01, 0.001


def compare(
    arm: str, treated: Moments, control: str, held: Moments, metric: Metric, *, alpha: float = 0.05
) -> Comparison:
    """The arm against the control at two-sided `alpha`, never decided by the relative lift.

    A symmetric interval of the lift (delta method) answers p 0.0024 where the difference says 0.00016 on Hillstrom.
    """
    difference = treated.mean - held.mean
    error = sqrt(treated.variance_of_mean + held.variance_of_mean)
    freedom = _freedom(treated, held)
    t = difference / error if error else 0.0
    half = _t_quantile(freedom, alpha) * error
    lift, lift_interval, lift_p = _lift(treated, held, alpha)
    return Comparison(
        arm, control, metric, held.mean, treated.mean, difference, Interval(difference - half, difference + half),
        t, _two_sided(freedom, t), lift, lift_interval, lift_p,
    )  # fmt: skip


def sample_ratio(observed: Sequence[int], shares: Sequence[float]) -> Mismatch:
    """Chi² of the arms' sizes against their shares: an arm that lost people makes every comparison worthless."""
    from scipy.special import chdtrc

    total, whole = sum(observed), sum(shares)
    if not total or len(observed) < 2:
        return Mismatch(1.0, warns=False, blocks=False)
    expected = [total * share / whole for share in shares]
    chi2 = sum((seen - due) ** 2 / due for seen, due in zip(observed, expected, strict=True))
    p = float(chdtrc(len(observed) - 1, chi2))
    return Mismatch(p, warns=p < WARNS_BELOW, blocks=p < BLOCKS_BELOW)


def _lift(treated: Moments, held: Moments, alpha: float) -> tuple[float | None, Interval | None, float | None]:
    if treated.mean <= 0 or held.mean <= 0:
        return (treated.mean / held.mean - 1 if held.mean > 0 else None), None, None
    ratio = log(treated.mean / held.mean)
    parts = [m.variance_of_mean / m.mean**2 for m in (treated, held)]
    error = sqrt(sum(parts))
    freedom = _satterthwaite(parts, [treated.n, held.n])
    half = _t_quantile(freedom, alpha) * error
    p = _two_sided(freedom, ratio / error) if error else 1.0
    return exp(ratio) - 1, Interval(exp(ratio - half) - 1, exp(ratio + half) - 1), p


def _freedom(one: Moments, other: Moments) -> float:
    return _satterthwaite([one.variance_of_mean, other.variance_of_mean], [one.n, other.n])


def _satterthwaite(variances: Sequence[float], sizes: Sequence[int]) -> float:
    """Degrees of freedom of a sum of variances; 1 where there is nothing to reckon with."""
    below = sum(v * v / (n - 1) for v, n in zip(variances, sizes, strict=True) if n > 1)
    return sum(variances) ** 2 / below if below else 1.0


def _t_quantile(freedom: float, alpha: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - alpha / 2))


def _two_sided(freedom: float, t: float) -> float:
    # The lower tail, because 1 - cdf is 0 from t = 8.3 on.
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))

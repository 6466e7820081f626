"""Moments: all that a test needs of one metric in one arm, never its rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moments:
    """How many, their sum and their sum of squares; of a yes/no metric the last two are equal."""

    n: int
    sum: float
    sum2: float

    @classmethod
    def of_share(cls, yes: int, n: int) -> Moments:
        """The moments of a metric that is 1 for `yes` people and 0 for the others."""
        return cls(n, yes, yes)

    @property
    def mean(self) -> float:
        return self.sum / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """The sample's, with n - 1; 0 where fewer than two were seen."""
        return max(self.sum2 - self.sum * self.sum / self.n, 0.0) / (self.n - 1) if self.n > 1 else 0.0

    @property
    def variance_of_mean(self) -> float:
        return self.variance / self.n if self.n else 0.0

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.sum + other.sum, self.sum2 + other.sum2)

"""The limits of a workspace, typed: caps, quiet hours, blackouts, pace and budgets. They are never frozen into a plan's
meaning: what is applied last holds at the moment of hand-over, for everybody under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from carillon.kernel.channels import Channel
from carillon.kernel.durations import Span
from carillon.kernel.time.calendar import Period
from carillon.kernel.time.windows import Window


@dataclass(frozen=True, slots=True)
class KeepFree:
    """So many slots of a cap are only for campaigns of this priority or more."""

    slots: int
    priority: int


@dataclass(frozen=True, slots=True)
class Cap:
    """The most messages of a scope per contact: in any window that rolls, or on the contact's calendar."""

    max: int
    per: Span | Period
    channel: Channel | None = None
    """None: of any channel."""
    topic: str | None = None
    """None: of any marketing topic."""
    wait_at_most: Span | None = None
    """None: who has had enough is skipped; else waits for the window, if it frees in that time."""
    keep_free: KeepFree | None = None


@dataclass(frozen=True, slots=True)
class Blackout:
    """From one clock time of the contact's calendar up to, not including, another nothing leaves."""

    start: datetime
    end: datetime
    channels: tuple[Channel, ...] = ()
    """Empty: on no channel."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The most messages of a channel and connector: `n` in `per_s` seconds, spread evenly.

    With `grow` it warms up: the first day `n`, each day so many times more.
    """

    n: int
    per_s: int
    grow: float | None = None


BudgetPeriod = Literal["day", "week", "month", "campaign"]


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent in a period of the workspace's calendar (`campaign`: ever)."""

    per: BudgetPeriod
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Expected:
    """How many people a wave should have, both ends included (`expect: {audience: 1000-2000}`)."""

    low: int
    high: int

    def fits(self, n: int) -> bool:
        """Whether so many people are what was expected."""
        return self.low <= n <= self.high

    def __str__(self) -> str:
        return f"{self.low:,}–{self.high:,}"


@dataclass(frozen=True, slots=True)
class Limits:
    """`limits:` of workspace.yaml."""

    caps: tuple[Cap, ...] = ()
    quiet_hours: Mapping[Channel, Window] = field(default_factory=dict)
    blackouts: tuple[Blackout, ...] = ()
    pace: Mapping[Channel, Pace] = field(default_factory=dict)

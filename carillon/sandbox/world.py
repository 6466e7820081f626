"""One sandbox: its keys, its clock, its file, and the faults that were asked for."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from carillon.kernel.clock import Clock, SystemClock, VirtualClock
from carillon.sandbox.behaviour import Behaviour
from carillon.sandbox.keys import Keys
from carillon.sandbox.store import Store


@dataclass(frozen=True, slots=True)
class Fault:
    """What one of the next sends meets, for tests of the unhappy ways."""

    status: int = 0
    """0: an answer as usual."""
    stored: bool = False
    """The message is taken all the same, and only the answer is bad."""
    delay_s: float = 0.0


@dataclass(slots=True)
class Meter:
    """SendGrid's rate limit: so many requests in each second of the machine's clock."""

    per_second: int = 0
    """0: no limit."""
    _second: int = 0
    _used: int = 0

    def take(self) -> tuple[bool, dict[str, str]]:
        """Whether one more request passes, and the headers that say how many are left."""
        second = int(time.time())
        if second != self._second:
            self._second, self._used = second, 0
        passes = self._used < self.per_second
        self._used += passes
        return passes, {
            "X-RateLimit-Limit": str(self.per_second),
            "X-RateLimit-Remaining": str(self.per_second - self._used),
            "X-RateLimit-Reset": str(second + 1),
        }


@dataclass(slots=True)
class World:
    """Everything that the sandbox's routes share."""

    keys: Keys
    store: Store
    behaviour: Behaviour
    folder: Path | None = None
    """Where it keeps itself; None: nowhere."""
    webhooks: str = ""
    """Base URL of Carillon's web; empty: nobody reacts."""
    clock: Clock = field(default_factory=SystemClock)
    meter: Meter = field(default_factory=Meter)
    faults: deque[Fault] = field(default_factory=deque)

    @property
    def virtual(self) -> VirtualClock | None:
        """The clock where it is virtual, and so moves only when told."""
        return self.clock if isinstance(self.clock, VirtualClock) else None

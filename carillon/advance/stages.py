"""What a run tells while it works: stages with their counts, in the marketer's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

NOT_YET = frozenset({"deferred", "released", "held"})
"""The words for people who were in hand and still wait."""

_OF_ONE = {"events": "event"}


def settled(counts: Mapping[str, int]) -> int:
    """How many people have their last word; those who still wait have not."""
    return sum(n for what, n in counts.items() if what not in NOT_YET)


def people_in(title: str) -> int:
    """How many people the title of a hand-over names: `email.sale: 12,004 to hand over`."""
    return int("".join(c for c in title.rpartition(": ")[2].split(" ")[0] if c.isdigit()) or 0)


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that a run did. `step` is the step it concerns, None for the campaign as a whole."""

    title: str
    step: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    parts: Sequence[Stage] = ()
    """The same told apart by step, where one decision concerned several."""

    @property
    def told(self) -> Sequence[Stage]:
        """What to tell of it: its parts where it has some."""
        return self.parts or (self,)

    @property
    def line(self) -> str:
        """One log line: `email.sale: 12,004 ready, 310 skipped (no_consent)`."""
        return _line(self.title, self.counts)

    @property
    def short(self) -> str:
        """The line without reasons: `email.sale: 12,004 ready, 310 skipped`."""
        counts: Counter[str] = Counter()
        for what, n in self.counts.items():
            counts[what.partition(" (")[0]] += n
        return _line(self.title, counts)

    @property
    def did_something(self) -> bool:
        return any(self.counts.values()) or any(part.did_something for part in self.parts)


def _line(title: str, counts: Mapping[str, int]) -> str:
    told = ", ".join(f"{n:,} {_OF_ONE.get(what, what) if n == 1 else what}" for what, n in counts.items() if n)
    return f"{title}: {told}" if told else title


class Perform(Protocol):
    """Runs one stage under a title. A flow makes a task of it; in the foreground it is a plain call."""

    def __call__(self, title: str, run: Callable[[], Stage], *, is_long: bool = False) -> Stage:
        """`is_long` says that the stage talks to a provider, and so may take minutes."""
        ...


def perform_plainly(title: str, run: Callable[[], Stage], *, is_long: bool = False) -> Stage:
    """No task, no server: just do it."""
    return run()

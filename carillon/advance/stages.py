"""What a run tells while it works: stages with their counts, in the marketer's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that a run did. `step` is the step it concerns, None for the campaign as a whole."""

    title: str
    step: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """One log line: `email.sale: 12,004 ready, 310 skipped (no_consent)`."""
        told = ", ".join(f"{n:,} {what}" for what, n in self.counts.items() if n)
        return f"{self.title}: {told}" if told else self.title

    @property
    def did_something(self) -> bool:
        return any(self.counts.values())


class Perform(Protocol):
    """Runs one stage under a title. A flow makes a task of it; in the foreground it is a plain call."""

    def __call__(self, title: str, run: Callable[[], Stage], *, is_long: bool = False) -> Stage:
        """`is_long` says that the stage talks to a provider, and so may take minutes."""
        ...


def perform_plainly(title: str, run: Callable[[], Stage], *, is_long: bool = False) -> Stage:
    """No task, no server: just do it."""
    return run()

"""What the demo prints: phases with their titles, lines below them, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text


@dataclass(slots=True)
class Told:
    """What is printed, and how long each phase took."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Print the title, and measure what happens inside."""
        self.console.print(f"\n[bold cyan]{escape(title)}[/]")
        began = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - began

    def line(self, text: str, style: str = "") -> None:
        """A line below the phase's title."""
        self.console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))

"""One line of `carillon doctor`: what was looked at, how it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    level: Level
    subject: str
    says: str
    do: str = ""
    """What to do where it is not ok."""

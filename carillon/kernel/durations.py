"""Durations as marketers write them: `90s 15min 6h 3d 2w 6mo 1y`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MONTHS = {"mo": 1, "y": 12}
_WRITTEN = re.compile(r"(\d{1,9})\s?([a-z]+)")
_LONGEST_DAYS = 36_600
"""A hundred years: more is a slip of the finger, and would leave the range of stored instants."""

DURATION_PATTERN = r"^\d{1,9} ?(s|min|h|d|w|mo|y)$"
"""For JSON Schema."""


@dataclass(frozen=True, slots=True)
class Span:
    """A duration as written: exact seconds, or calendar months (`mo`, `y`), never both."""

    seconds: int = 0
    months: int = 0
    kind: Literal["span"] = "span"

    def __str__(self) -> str:
        return format_span(self)

    def __neg__(self) -> Span:
        return Span(-self.seconds, -self.months)


def parse_span(text: str) -> Span:
    """The duration that `text` says; raises ValueError with a sentence for the marketer."""
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise ValueError("a duration is a number and a unit: 90s, 15min, 6h, 3d, 2w, 6mo or 1y")
    number, unit = int(written[1]), written[2]
    if unit == "m":
        raise ValueError(f'"m" could be minutes or months: write {number}min or {number}mo')
    if unit in _SECONDS:
        span = Span(seconds=number * _SECONDS[unit])
    elif unit in _MONTHS:
        span = Span(months=number * _MONTHS[unit])
    else:
        raise ValueError(f'no unit "{unit}": durations end in s, min, h, d, w, mo or y')
    if span.seconds > _LONGEST_DAYS * 86_400 or span.months > 1_200:
        raise ValueError("longer than a hundred years")
    return span


def parse_offset(text: str) -> Span:
    """A duration that may point back: `-7d`, `+3d`, `3d`; raises ValueError with a sentence for the marketer."""
    stripped = text.strip()
    span = parse_span(stripped.lstrip("+-") if stripped[:1] in "+-" else stripped)
    sign = -1 if stripped.startswith("-") else 1
    return Span(sign * span.seconds, sign * span.months)


def format_span(span: Span) -> str:
    """The shortest way to write the span in one unit: `Span(seconds=172800)` is `2d`."""
    if span.months:
        return f"{span.months // 12}y" if span.months % 12 == 0 else f"{span.months}mo"
    for unit in ("d", "h", "min"):
        if span.seconds and span.seconds % _SECONDS[unit] == 0:
            return f"{span.seconds // _SECONDS[unit]}{unit}"
    return f"{span.seconds}s"

"""Problems: what is wrong with a workspace, each at its place, in words a marketer can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A stretch of a file; lines and columns count characters from 1, the end is exclusive. Line 0: the file as a whole."""

    file: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `code` is stable; its first letters say where to look.

    YAML1xx syntax · WSP1xx workspace · DAT5xx data.yaml and values.yaml · SEG3xx segments · CAR2xx campaigns ·
    MSG4xx messages · LATER not available yet.
    """

    position: Position
    code: str
    message: str
    expected: str = ""
    """What was expected instead."""
    suggestion: str = ""
    """What to do, or the nearest valid word."""
    severity: Severity = "error"

    def as_json(self) -> dict[str, object]:
        """The problem as `check --json` prints it."""
        at = self.position
        return {
            "file": at.file,
            "line": at.line,
            "column": at.column,
            "end_line": at.end_line,
            "end_column": at.end_column,
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "expected": self.expected,
            "suggestion": self.suggestion,
        }


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None where none is like it."""
    candidates = sorted(known)
    folded = {name.casefold(): name for name in reversed(candidates)}
    found = get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "…"?`, else what there is to choose from, else nothing."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f'did you mean "{near}"?'
    if not names:
        return ""
    shown = ", ".join(names[:12])
    return f"there is {shown}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file and place, each once."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.position, p.code, p.message))


def render(problems: Iterable[Problem], sources: Mapping[str, str]) -> str:
    """All problems as text, each with its source line and a caret; `sources` is file → text."""
    return "\n".join(_render_one(problem, sources.get(problem.position.file)) for problem in problems)


def _render_one(problem: Problem, text: str | None) -> str:
    warning = "warning: " if problem.severity == "warning" else ""
    headline = f"{problem.position}  {problem.code}  {warning}{problem.message}"
    notes = "; ".join(note for note in (_expectation(problem), problem.suggestion) if note)
    line = _line_of(text, problem.position.line)
    if line is None:
        return "\n".join([headline, f"       {notes}"] if notes else [headline])
    shown, before, width = _window(line, problem.position)
    caret = f"{' ' * before}{'^' * width} {notes}".rstrip()
    return f"{headline}\n  {problem.position.line:>5} | {shown}\n        | {caret}"


def _expectation(problem: Problem) -> str:
    return f"expected {problem.expected}" if problem.expected else ""


def _line_of(text: str | None, number: int) -> str | None:
    if text is None or number < 1:
        return None
    lines = text.split("\n")
    return lines[number - 1].rstrip("\r") if number <= len(lines) else None


_WIDEST = 110


def _window(line: str, at: Position) -> tuple[str, int, int]:
    """The part of a long line around the place, the characters before the caret, and the caret's width."""
    column = min(max(at.column, 1), len(line) + 1)
    width = at.end_column - column if at.end_line == at.line else len(line) - column + 1
    start = max(0, column - _WIDEST // 2) if len(line) > _WIDEST else 0
    shown = "".join(c if c.isprintable() else "·" for c in line[start : start + _WIDEST])
    return shown, column - 1 - start, max(1, min(width, len(shown) - (column - 1 - start)))

"""Text that contains, starts or ends with a word, ignoring case beyond ASCII: `Ü` is `ü` on both stores.

SQLite's LIKE and `lower` know only A–Z, PostgreSQL's depend on the database's locale. So each letter becomes a class of
its own cases: a GLOB on SQLite, a regular expression on PostgreSQL and in Python.
"""

from __future__ import annotations

import re
from typing import Literal

from carillon.audience.moment import Expression, Predicate

Place = Literal["contains", "starts_with", "ends_with", "equals"]


def matches(value: Expression, place: str, text: str, dialect: str) -> Predicate:
    """Does the text stand in the value at that place, whatever its case? NULL for NULL."""
    if dialect == "postgresql":
        return value.op("~", is_comparison=True)(_anchored(place, regular_expression(text), "^", "$"))
    return value.op("GLOB", is_comparison=True)(_starred(place, _glob(text)))


def found(value: str, place: str, text: str) -> bool:
    """The same answer in Python."""
    return re.search(_anchored(place, regular_expression(text), r"\A", r"\Z"), value) is not None


def regular_expression(text: str) -> str:
    """An expression that both PostgreSQL and Python read alike."""
    return "".join(f"[{cases}]" if (cases := _cases(letter)) else re.escape(letter) for letter in text)


def _glob(text: str) -> str:
    return "".join(
        f"[{cases}]" if (cases := _cases(letter)) else f"[{letter}]" if letter in "*?[" else letter for letter in text
    )


def _cases(letter: str) -> str:
    """All cases of a letter; empty for a sign that has none. `ß` has no single capital and stays itself."""
    cases = {form for form in (letter, letter.lower(), letter.upper(), letter.title()) if len(form) == 1}
    return "".join(sorted(cases)) if len(cases) > 1 else ""


def _anchored(place: str, pattern: str, start: str, end: str) -> str:
    return (
        (start if place in ("starts_with", "equals") else "")
        + pattern
        + (end if place in ("ends_with", "equals") else "")
    )


def _starred(place: str, pattern: str) -> str:
    return (
        ("" if place in ("starts_with", "equals") else "*")
        + pattern
        + ("" if place in ("ends_with", "equals") else "*")
    )

"""The YAML parser's complaints in a marketer's words."""

from __future__ import annotations

import re
from collections.abc import Callable

_LIQUID_FIRST = re.compile(r"[:\-,\[{]\s*\{\{")
_SYNTAX: tuple[tuple[Callable[[str, str], bool], str, str], ...] = (
    (
        lambda problem, line: "\t" in line[: len(line) - len(line.lstrip())],
        "a tab stands in the indentation",
        "indent with blanks",
    ),
    (lambda problem, line: "found character '\\t'" in problem, "a tab stands here", "use blanks"),
    (
        lambda problem, line: _LIQUID_FIRST.search(line) is not None,
        'text that begins with "{{" is not closed off',
        "put the whole text in quotes",
    ),
    (
        lambda problem, line: "mapping values are not allowed" in problem,
        "a second colon stands in this line",
        "put text that holds a colon in quotes, or indent the line as its neighbours",
    ),
    (
        lambda problem, line: "cannot start any token" in problem,
        "a text cannot begin with this character",
        "put the text in quotes",
    ),
    (
        lambda problem, line: "unexpected end of stream" in problem or "<stream end>" in problem,
        "a quote or bracket is not closed",
        "close it",
    ),
    (
        lambda problem, line: "expected <block end>" in problem or "could not find expected ':'" in problem,
        "this line does not fit to the lines above it",
        "check its indentation, and the colon after its key",
    ),
    (
        lambda problem, line: "expected ',' or" in problem,
        "a bracket or brace is not closed, or a comma is missing",
        "close it; text that holds brackets needs quotes",
    ),
)


def explained(problem: str, line: str, column: int) -> tuple[str, str]:
    """The parser's complaint in a marketer's words, and what to do."""
    for applies, message, suggestion in _SYNTAX:
        if applies(problem, line):
            return message, suggestion
    return f"this is not YAML: {problem}", ""

"""Amounts in messages that name no currency, in a workspace whose events come in several: each is worth a look."""

from __future__ import annotations

import re
from collections.abc import Mapping

from carillon.definition.model import Workspace
from carillon.definition.scalars import Reading
from carillon.kernel.problems import Position

_BARE = re.compile(
    r"\{[{%][^{}]*?(?P<written>[A-Za-z_][\w.\[\]]*)(?P<before>\s*(?:\|[^|{}]*)*?)\|\s*money\s*(?=[|}%-])"
)
"""`{{ trigger.total | money }}`, also with other filters before it, and not `… | money: trigger.currency }}`."""

_OURS = ("contact", "values")
"""What contacts and values.yaml hold is in the workspace's currency."""


def check_amounts(texts: Mapping[str, str], workspace: Workspace, reading: Reading) -> None:
    """Warn of each amount of an event that would be written in the workspace's currency, whatever it was in."""
    if not workspace.rates:
        return
    others = " or ".join(workspace.rates)
    for path, text in texts.items():
        for found in _BARE.finditer(text):
            written = found["written"]
            owner = written.partition(".")[0]
            if owner in _OURS:
                continue
            reading.note(
                _place(path, text, *found.span("written")), 34,
                f"so many {others} would be written as so many {workspace.currency}",
                f"{{{{ {written}{found['before'].rstrip()} | money: {'answer' if owner == 'answer' else 'trigger'}.currency }}}}",
                "declare currency: word with the event in data.yaml; money alone takes an amount to be in the workspace's",
                warning=True,
            )  # fmt: skip


def _place(path: str, text: str, start: int, end: int) -> Position:
    line, column = text.count("\n", 0, start) + 1, start - (text.rfind("\n", 0, start) + 1) + 1
    return Position(path, line, column, line, column + end - start)

"""`wait: {until: {date: FIELD, offset: -3d}}` → the step."""

from __future__ import annotations

from typing import Literal

from carillon.definition.availability import is_available
from carillon.definition.build_conditions import Names
from carillon.definition.campaign_words import DateWords, EntryBase, WaitWords
from carillon.definition.model import LaterStep, WaitUntilDate
from carillon.definition.nodes import Text
from carillon.definition.words import note_later
from carillon.kernel.durations import Span


def wait_until_date(words: WaitWords, step_id: str, was: str | None, names: Names) -> WaitUntilDate | LaterStep:
    """The step; a field that is none, or no date, is noted."""
    reading, field = names.typing.reading, words.date
    if not isinstance(field, Text) or (field.startswith("points.") and not is_available("data.loyalty")):
        note_later(reading, words.key_at("date"), str(field) if isinstance(field, Text) else "date")
        return LaterStep(step_id, "wait", (), was)
    declared = names.contact.get(field)
    if declared is None:
        names.unknown(
            field, "date of a contact", [n for n, f in names.contact.items() if f.type in ("date", "instant")]
        )
    elif declared.type not in ("date", "instant"):
        names.wrong(field, f'"{field}" is a {declared.type}, no date', "a field that is a date or an instant")
    kind: Literal["date", "instant"] = "instant" if declared is not None and declared.type == "instant" else "date"
    if kind == "date" and declared is not None and words.at is None and words.lacks("at"):
        reading.note(words.key_at("date"), 3, "the clock time is missing", f"{{until: {{date: {field}}}, at: 09:00}}")
    if words.if_past == "next":
        reading.note(words.key_at("if_past"), 3, "a date has no next one", "go_on or exit")
    return WaitUntilDate(
        step_id, str(field), kind, words.offset or Span(), words.at,
        "go_on" if words.if_past == "go_on" else "exit", str(field) in names.yearly, was,
    )  # fmt: skip


def yearly_dates(entries: list[EntryBase]) -> frozenset[str]:
    """The fields by which people enter every year."""
    return frozenset(str(entry.date) for entry in entries if isinstance(entry, DateWords) and entry.every == "year")

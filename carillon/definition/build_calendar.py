"""Entries by the calendar of engineers and of contacts: `cron`, `rrule`, `date`."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Literal

from carillon.definition.availability import is_available
from carillon.definition.build_conditions import Names
from carillon.definition.campaign_words import CronWords, DateWords
from carillon.definition.entries import Again, Cron, OnDate, Rrule
from carillon.definition.nodes import Map, Text
from carillon.definition.words import note_later
from carillon.kernel.durations import Span

NOTHING = Span()
FINEST = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_TWO_DAYS = datetime.fromisoformat("2020-01-06 00:00"), datetime.fromisoformat("2021-02-18 13:37")
_LATER = datetime.fromisoformat("2026-01-01 00:00")


def recurring_of(words: CronWords, again: Again, if_late: Span, names: Names) -> Cron | Rrule:
    """The entry, whose expression has been tried."""
    if words.cron is not None:
        if (fault := _fault_of_cron(words.cron)) is not None:
            names.wrong(words.cron, fault, 'five fields such as "0 9 * * 1-5": at nine from Monday to Friday')
        return Cron(str(words.cron), words.timezone, if_late, again)
    text = words.rrule if words.rrule is not None else Text("")
    if (fault := _fault_of_rule(text)) is not None:
        names.wrong(text, fault, "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0")
    return Rrule(str(text), words.timezone, if_late, again)


def _fault_of_cron(text: str) -> str | None:
    from cronsim import CronSim, CronSimError

    if len(text.split()) != 5:
        return "a cron expression has five fields: minute, hour, day, month, weekday"
    try:
        each = list(islice(CronSim(text, _LATER), 25))
    except CronSimError as error:
        return f"no cron expression: {str(error).lower()}"
    return "it comes more than once an hour" if len(each) == 25 and (each[24] - each[0]).days < 1 else None


def _fault_of_rule(text: str) -> str | None:
    """What is wrong with a recurrence rule; one that depends on its first day must name it."""
    upper = text.upper()
    if "TZID" in upper or any(part.endswith("Z") for part in upper.replace("\n", ";").split(";")):
        return "its clock times have no zone of their own: write `timezone` beside it"
    if not any(f"FREQ={word}" in upper for word in FINEST):
        return f"FREQ must be one of {', '.join(FINEST)}; hours are written BYHOUR"
    from dateutil.rrule import rrulestr

    try:
        ways = [list(islice(rrulestr(text, dtstart=start).xafter(_LATER, inc=True), 12)) for start in _TWO_DAYS]
    except (ValueError, TypeError) as error:
        return f"no recurrence rule: {error}"
    if "DTSTART" not in upper and ways[0] != ways[1]:
        return (
            "it depends on its first day: name the day and hour (BYDAY, BYHOUR, BYMINUTE, BYSECOND), or write DTSTART"
        )
    return None if ways[0] else "no such day ever comes any more"


def date_of(words: DateWords, again: Again, names: Names) -> OnDate:
    """The entry, whose field is a day of the contact's."""
    offset = words.offset or NOTHING
    if offset.seconds % 86_400:
        names.typing.reading.note(words.key_at("offset"), 3, "an offset of a date is counted in days", "offset: -7d")
    return OnDate(
        str(words.date), _day_type(words, names), words.every is not None, offset, words.at, words.timezone,
        words.if_late, again,
    )  # fmt: skip


def _day_type(words: DateWords, names: Names) -> Literal["date", "instant"]:
    day, reading = words.date, names.typing.reading
    if isinstance(day, Map):
        word = next(iter(day), "date")
        note_later(reading, day.at, str(word))
    elif not isinstance(day, Text):
        reading.note(words.key_at("date"), 3, "this is no day", "a field of the type date or instant")
    elif day.startswith("points.") and not is_available("data.loyalty"):
        note_later(reading, day.at, day)
    elif (field := names.contact.get(day)) is None:
        names.unknown(day, "field", [n for n, one in names.contact.items() if one.type in ("date", "instant")])
    elif field.type == "instant":
        return "instant"
    elif field.type != "date":
        names.wrong(day, f'"{day}" is a {field.type}, not a day', "a field of the type date or instant")
    return "date"

"""How people enter a campaign: the closed union of entries, typed, with the defaults of `again` and `if_late` in place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Literal, assert_never

from carillon.definition.conditions import EVERYONE, Condition, Where
from carillon.kernel.durations import Span

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

Again = Span | Literal["never", "always", "once_a_thing"]
"""When the same person may enter again, counted from entry. `never`: each contact at most once, ever. `once_a_thing`: each
thing once (`once_per`), the person as often as there are things. A Span beside `once_per`: both must hold."""

Zone = Literal["workspace", "contact"]


@dataclass(frozen=True, slots=True)
class At:
    """Once, at a date and clock time in the zone."""

    at: datetime
    zone: Zone
    if_late: Span
    again: Again = "never"
    kind: Literal["at"] = "at"


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again: on these weekdays (all seven for `day`), or on the first of the `month`."""

    on: tuple[Weekday, ...] | Literal["month"]
    at: time
    zone: Zone
    if_late: Span
    again: Again = "always"
    kind: Literal["every"] = "every"


@dataclass(frozen=True, slots=True)
class Cron:
    """Again and again, at the clock times of a cron expression."""

    cron: str
    zone: Zone
    if_late: Span
    again: Again = "always"
    kind: Literal["cron"] = "cron"


@dataclass(frozen=True, slots=True)
class Rrule:
    """Again and again, at the clock times of a recurrence rule (RFC 5545)."""

    rrule: str
    zone: Zone
    if_late: Span
    again: Again = "always"
    kind: Literal["rrule"] = "rrule"


@dataclass(frozen=True, slots=True)
class OnDate:
    """On a day of the contact's own, or so many days before or after it; `yearly` on its anniversaries too."""

    field: str
    type: Literal["date", "instant"]
    yearly: bool
    offset: Span
    at: time
    zone: Zone
    if_late: Span | None = None
    """None: as long as it is the same day on the clock."""
    again: Again = "always"
    kind: Literal["date"] = "date"


@dataclass(frozen=True, slots=True)
class Collect:
    """How several triggers of one person and thing become one enrolment."""

    longest: Span | None = None
    """From the first trigger on; None: as long as `idle` lets it grow."""
    most: int | None = None
    """At most so many are shown, the newest; None: all."""
    of: str | None = None
    """The property in which those that are shown differ; what lacks it is not shown."""


@dataclass(frozen=True, slots=True)
class OnEvent:
    """An event of the contact, whose `where` is asked of that event; `once_per` names the property that is the thing.

    With `idle` people enter once the thing has been quiet for so long.
    """

    event: str
    where: Where
    once_per: str | None
    if_late: Span
    again: Again
    idle: Span | None = None
    topic: str | None = None
    """`subscribes`: the topic that `where` asks for."""
    kind: Literal["event"] = "event"
    collect: Collect | None = None
    """With it `trigger.collected` are the triggers of the enrolment."""

    @property
    def ripens_in(self) -> int | None:
        """The seconds after a trigger at which it is ripe where nothing comes before or behind; None: it enters at once."""
        longest = None if self.collect is None else self.collect.longest
        return min((span.seconds for span in (self.idle, longest) if span is not None), default=None)


@dataclass(frozen=True, slots=True)
class OnSegment:
    """Joining a segment, or leaving it; `existing` takes in those who are in it from the beginning, some a day."""

    way: Literal["joins", "leaves"]
    segment: str
    again: Again = "never"
    existing: bool = False
    existing_a_day: int | None = None
    condition: Condition = EVERYONE
    """The segment's own, put in by `plan`."""
    kind: Literal["segment"] = "segment"


@dataclass(frozen=True, slots=True)
class ByApi:
    """A call of ours (`carillon enter`, POST /v1/enter)."""

    if_late: Span
    again: Again = "never"
    kind: Literal["api"] = "api"


@dataclass(frozen=True, slots=True)
class LaterEntry:
    """An entry whose engine is not there yet: read and checked, refused by `check`, never compiled."""

    word: str
    kind: Literal["later"] = "later"


Recurring = Every | Cron | Rrule
"""Entries that take the whole audience in again and again."""

Broadcast = At | Recurring
"""Entries that take in the whole audience at once."""

Scheduled = Broadcast | OnDate
"""Entries that come by the calendar."""

PlanEntry = Scheduled | OnEvent | OnSegment | ByApi
"""The entries that have an engine."""

Entry = PlanEntry | LaterEntry


def entry_key(entry: PlanEntry) -> str:
    """Kind and subject of an entry, never its place in the list: what a wave is known by."""
    match entry:
        case OnEvent(topic=str(topic)):
            return f"subscribes:{topic}"
        case OnEvent(event=event):
            return f"event:{event}"
        case OnSegment(way=way, segment=segment):
            return f"{way}:{segment}"
        case OnDate(field=field, offset=offset):
            return f"date:{field}{_signed(offset)}"
        case Cron(cron=text) | Rrule(rrule=text):
            return f"{entry.kind}:{text}"
        case At() | Every() | ByApi():
            return entry.kind
        case _:
            assert_never(entry)


def is_same(one: PlanEntry, other: PlanEntry) -> bool:
    """Whether a wave could not tell which of the two it belongs to."""
    if isinstance(one, At) and isinstance(other, At):
        return one.at == other.at
    if isinstance(one, Every) and isinstance(other, Every):
        return "month" in (one.on, other.on) or bool(set(one.on) & set(other.on))
    return entry_key(one) == entry_key(other)


def _signed(offset: Span) -> str:
    if not (offset.seconds or offset.months):
        return ""
    return f"-{-offset}" if offset.seconds < 0 or offset.months < 0 else f"+{offset}"

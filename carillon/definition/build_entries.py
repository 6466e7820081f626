"""Entry words → the closed union of entries, with the default rules of `again` and `if_late`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from carillon.definition.availability import is_available
from carillon.definition.build_calendar import date_of, recurring_of
from carillon.definition.build_conditions import Names, condition_of, event_fields, where_of
from carillon.definition.campaign_words import (
    ApiWords,
    AtWords,
    CollectWords,
    CronWords,
    DateWords,
    EntryBase,
    EventEntryWords,
    EveryWords,
    ProductWords,
    SegmentEntryWords,
    SubscribesWords,
)
from carillon.definition.conditions import FieldTest
from carillon.definition.entries import (
    WEEKDAYS,
    Again,
    At,
    ByApi,
    Collect,
    Entry,
    Every,
    LaterEntry,
    OnEvent,
    OnSegment,
    Weekday,
)
from carillon.definition.model import Field
from carillon.definition.words import Words
from carillon.kernel.durations import Span

_TWO_HOURS, _A_DAY = Span(seconds=2 * 3_600), Span(seconds=86_400)


def trigger_fields(entries: list[EntryBase], names: Names) -> dict[str, Field] | None:
    """The properties of all events that may trigger the campaign; None where no event does."""
    events = [event for entry in entries if (event := _triggered_by(entry)) is not None]
    if not events:
        return None
    return {name: field for event in events for name, field in names.events.get(event, {}).items()}


def _triggered_by(entry: EntryBase) -> str | None:
    match entry:
        case EventEntryWords():
            return str(entry.event)
        case ProductWords():
            return f"product.{entry.product}"
        case SubscribesWords():
            return "contact.subscribed"
        case _:
            return None


def build_entry(words: EntryBase, names: Names) -> Entry:
    """The entry that the words say."""
    match words:
        case AtWords():
            _no_always(words, names, "a single date comes once: leave `again` out")
            return At(words.at, words.timezone, words.if_late or _TWO_HOURS, _again(words, "never"))
        case EveryWords():
            return Every(
                _days(words, names), words.at, words.timezone, words.if_late or _TWO_HOURS, _again(words, "always")
            )
        case EventEntryWords():
            return _on_event(words, names)
        case CronWords():
            return recurring_of(words, _again(words, "always"), words.if_late or _TWO_HOURS, names)
        case DateWords():
            return date_of(words, _again(words, "always"), names)
        case SubscribesWords():
            return _on_subscribing(words, names)
        case SegmentEntryWords():
            return _on_segment(words, names)
        case ApiWords():
            if not words.api:
                names.typing.reading.note(words.key_at("api"), 3, "an entry that is none", "api: true")
            return ByApi(words.if_late or _A_DAY, _again(words, "never"))
        case _:
            return _later(words, names)


def _again(words: EntryBase, default: Again) -> Again:
    return default if words.again is None else cast(Again, words.again)


def _no_always(words: EntryBase, names: Names, why: str) -> None:
    if words.again == "always":
        names.typing.reading.note(words.key_at("again"), 7, f"`again: always` means nothing here: {why}")


def _days(words: EveryWords, names: Names) -> tuple[Weekday, ...] | Literal["month"]:
    days = list(words.every)
    if len(days) > 1 and ("day" in days or "month" in days):
        names.typing.reading.note(words.key_at("every"), 3, "day and month stand alone", "weekdays, or day, or month")
    if days == ["month"]:
        return "month"
    return WEEKDAYS if "day" in days else tuple(day for day in WEEKDAYS if day in days)


def _on_event(words: EventEntryWords, names: Names) -> OnEvent:
    fields = event_fields(words.event, names)
    once_per = words.once_per
    if once_per is not None:
        _no_always(words, names, "each thing enters once; write `again: after 3d` or leave it out")
        if fields is not None and once_per not in fields:
            names.unknown(once_per, "field", fields)
    return OnEvent(
        str(words.event),
        where_of(words.where, fields, str(words.event), names),
        str(once_per) if once_per is not None else None,
        words.if_late or _A_DAY,
        _again(words, "once_a_thing" if once_per is not None else "never"),
        _exact(words, "idle", words.idle, names),
        collect=None if words.collect is None else _collect(words, words.collect, fields, names),
    )


def _collect(
    words: EventEntryWords, collect: CollectWords, fields: Mapping[str, Field] | None, names: Names
) -> Collect:
    if collect.of is not None and fields is not None and collect.of not in fields:
        names.unknown(collect.of, "field", fields)
    if words.idle is None and collect.for_ is None:
        names.typing.reading.note(
            words.key_at("collect"), 3, "nothing says when the collection is over", "idle: 4h, or collect: {for: 2h}"
        )
    if fields is not None and "collected" in fields:
        names.typing.reading.note(
            words.key_at("collect"),
            7,
            f"{words.event} has a field `collected`: `trigger.collected` would be two things",
        )
    of = None if collect.of is None else str(collect.of)
    return Collect(_exact(collect, "for", collect.for_, names), collect.max, of)


def _exact(words: Words, key: str, span: Span | None, names: Names) -> Span | None:
    """A duration of hours or days: a month of silence would be another one in February."""
    if span is not None and span.months:
        names.typing.reading.note(words.key_at(key), 3, f"{key} is counted in hours or days", f"{key}: 30d")
    return span


def _on_subscribing(words: SubscribesWords, names: Names) -> OnEvent:
    if words.subscribes not in names.topics:
        names.unknown(words.subscribes, "topic", names.topics)
    topic = str(words.subscribes)
    where = (FieldTest("topic", "word", "is", topic),)
    if_late = words.if_late or _A_DAY
    return OnEvent("contact.subscribed", where, None, if_late, _again(words, "never"), topic=topic)


def _on_segment(words: SegmentEntryWords, names: Names) -> OnSegment:
    way: Literal["joins", "leaves"] = "joins" if words.joins is not None else "leaves"
    segment = words.joins if words.joins is not None else words.leaves
    if segment is not None:
        names.used_segments.add(segment)
        if segment not in names.segments:
            names.unknown(segment, "segment", names.segments)
    if words.if_late is not None:
        names.typing.reading.note(
            words.key_at("if_late"),
            7,
            f"who {way} is found within a quarter of an hour: nothing tells how late that is",
        )
    if words.existing is not None and way == "leaves":
        names.typing.reading.note(words.key_at("existing"), 7, "who is in the segment has not left it", "joins: …")
    a_day = words.existing.enter if words.existing is not None else None
    return OnSegment(way, str(segment or ""), _again(words, "never"), words.existing is not None, a_day)


def _later(words: EntryBase, names: Names) -> LaterEntry:
    match words:
        case ProductWords():
            where_of(words.where, names.events[f"product.{words.product}"], "the product", names)
            for condition in (words.to, words.unless):
                if condition is not None:
                    condition_of(condition, names)
        case _:
            pass
    word = next(head for head in type(words).heads if words.has(head))
    assert not is_available(f"entry.{word}"), f"the entry {word} has no engine"
    return LaterEntry(word)

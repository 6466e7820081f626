"""`limits:` of workspace.yaml → caps, quiet hours, blackouts and pace, and what of them cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from carillon.definition.campaign_words import BudgetWords, ExpectWords
from carillon.definition.limits import Blackout, Budget, Cap, Expected, KeepFree, Limits, Pace
from carillon.definition.model import Topic
from carillon.definition.nodes import Map, Node, Text
from carillon.definition.scalars import Reading, parse_clock, parse_number
from carillon.definition.words import read
from carillon.definition.workspace_words import BlackoutWords, CapWords, LimitsWords, WaitAtMostWords, WarmingUpWords
from carillon.kernel.channels import Channel
from carillon.kernel.durations import Span, parse_span
from carillon.kernel.problems import did_you_mean
from carillon.kernel.time.calendar import Period
from carillon.kernel.time.windows import Window

PERIODS: tuple[Period, ...] = get_args(Period)
_HOUR = 3_600
_UNITS = {"s": 1, "min": 60, "h": _HOUR, "d": 86_400}


def build_limits(words: LimitsWords | None, topics: Mapping[str, Topic], reading: Reading) -> Limits:
    """The limits; what is wrong is noted and left out."""
    if words is None:
        return Limits()
    caps = (_cap(cap, topics, reading) for cap in words.caps or ())
    windows = {Channel(channel): window_of(hours, reading) for channel, hours in (words.quiet_hours or {}).items()}
    blackouts = (_blackout(one, reading) for one in words.blackouts or ())
    paces = {Channel(channel): _pace(raw, reading) for channel, raw in (words.pace or {}).items()}
    return Limits(
        tuple(cap for cap in caps if cap is not None),
        {channel: window for channel, window in windows.items() if window is not None},
        tuple(one for one in blackouts if one is not None),
        {channel: pace for channel, pace in paces.items() if pace is not None},
    )


def build_budget(words: BudgetWords | None) -> Budget | None:
    """The budget of a workspace or campaign."""
    return None if words is None else Budget(words.per, words.amount)


def build_expected(words: ExpectWords | None, reading: Reading) -> Expected | None:
    """How many there should be; a problem where the range holds no number."""
    if words is None:
        return None
    low, high = (int(end) for end in words.audience.split("-"))
    if low > high:
        reading.note(words.audience.at, 3, f"{words.audience} holds no number: it ends below its beginning")
        return None
    return Expected(low, high)


def window_of(hours: Text, reading: Reading) -> Window | None:
    """`21:00-08:00` as a window of the day; a problem where it is none."""
    try:
        start, end = (parse_clock(clock) for clock in hours.split("-"))
    except ValueError:
        reading.note(hours.at, 3, f'"{hours}" are no clock times', "clock times such as 21:00-08:00")
        return None
    if start == end:
        reading.note(hours.at, 3, f'"{hours}" is the whole day: nothing would ever leave')
        return None
    return Window(start, end)


def _cap(words: CapWords, topics: Mapping[str, Topic], reading: Reading) -> Cap | None:
    if words.lacks("channel") and words.lacks("topic"):
        reading.missing(words.place, "this says not of what", "channel: email, channel: any or topic: NAME")
    topic = topics.get(words.topic or "")
    if words.topic is not None and topic is None:
        reading.note(words.topic.at, 4, f'no topic "{words.topic}"', suggestion=did_you_mean(words.topic, topics))
    if words.topic is not None and topic is not None and topic.kind == "transactional":
        reading.note(words.topic.at, 8, f'"{words.topic}" is transactional: no cap holds for it', "a marketing topic")
    per = _per(words.per, reading)
    if words.keep_free is not None and words.keep_free.slots >= words.max:
        reading.note(
            words.keep_free.place,
            3,
            f"with {words.keep_free.slots} of {words.max} kept free nothing is left for others",
        )
    if per is None:
        return None
    return Cap(
        words.max,
        per,
        None if words.channel in (None, "any") else Channel(words.channel),
        str(words.topic) if words.topic is not None else None,
        _when_full(words, reading),
        KeepFree(words.keep_free.slots, words.keep_free.priority) if words.keep_free is not None else None,
    )


def _per(text: Text, reading: Reading) -> Span | Period | None:
    for period in PERIODS:
        if text == period:
            return period
    try:
        span = parse_span(text)
    except ValueError as error:
        said = f"{error}, or the calendar's {', '.join(PERIODS)}" if text[:1].isdigit() else f'"{text}" is no period'
        reading.note(text.at, 3, said, "a duration that rolls such as 7d, or day, week or month of the calendar")
        return None
    if span.months:
        reading.note(text.at, 3, f"{text} is not the same length everywhere", "month of the calendar, or 30d that roll")
    elif span.seconds < _HOUR:
        reading.note(text.at, 3, f"{text} is too short for a cap", "1h or more")
    else:
        return span
    return None


def _when_full(words: CapWords, reading: Reading) -> Span | None:
    raw: Node | None = words.when_full
    if isinstance(raw, Map):
        found, _ = read(WaitAtMostWords, raw, reading)
        return found.wait_at_most if found is not None else None
    if raw is not None and raw != "skip":
        reading.note(raw.at, 3, f'"{raw}" says not what to do', "skip or {wait_at_most: 2d}")
    return None


def _blackout(words: BlackoutWords, reading: Reading) -> Blackout | None:
    if words.to <= words.from_:
        reading.note(words.key_at("to"), 9, "it ends before it begins")
        return None
    channels = tuple(map(Channel, words.channels)) if words.channels is not None else tuple(Channel)
    return Blackout(words.from_, words.to, channels)


_RATE = re.compile(r"(\d{1,9}) ?/ ?(s|min|h|d)")


def _pace(raw: Node, reading: Reading) -> Pace | None:
    if not isinstance(raw, Map):
        return _rate(raw, reading)
    words, _ = read(WarmingUpWords, raw, reading)
    if words is None:
        return None
    rate = _rate(words.start, reading)
    if words.grow <= 1:
        reading.note(words.key_at("grow"), 3, "it would not grow", "more than 1, such as 1.5")
    return None if rate is None else Pace(rate.n, rate.per_s, float(words.grow))


def _rate(raw: Node, reading: Reading) -> Pace | None:
    found = _RATE.fullmatch(raw) if isinstance(raw, Text) else None
    if found is None or parse_number(found[1]) == 0:
        reading.note(raw.at, 3, "this is no rate", "a rate such as 100000/min or 50/s, or {start: 2000/d, grow: 1.5}")
        return None
    return Pace(int(found[1]), _UNITS[found[2]])

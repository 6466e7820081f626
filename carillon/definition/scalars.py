"""What a text means: the types that the fields of the language have, each with its parser, its words for problems and
its JSON Schema. Every scalar may also be `{value: NAME}`, a word of values.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from carillon.definition.nodes import Map, Seq, Text
from carillon.kernel.durations import DURATION_PATTERN, Span, parse_offset, parse_span
from carillon.kernel.money import MONEY_PATTERN, parse_amount
from carillon.kernel.problems import Position, Problem, Severity, did_you_mean

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"


def is_name(text: str) -> bool:
    """Whether the text may name something of a workspace."""
    return re.fullmatch(NAME_PATTERN, text) is not None


@dataclass(slots=True)
class Reading:
    """What a model knows while it reads one file: where problems go, and the values of the workspace."""

    prefix: str
    """The group of codes: WSP, CAR, SEG, MSG or DAT."""
    values: Mapping[str, Text]
    problems: list[Problem] = field(default_factory=list)

    def note(
        self, at: Position, number: int, message: str, expected: str = "", suggestion: str = "", warning: bool = False
    ) -> None:
        """Remember a problem under the group's code."""
        severity: Severity = "warning" if warning else "error"
        self.problems.append(Problem(at, code(self.prefix, number), message, expected, suggestion, severity))

    def missing(self, at: Position, message: str, suggestion: str) -> None:
        """Remember that something must be written, and what it could be."""
        self.note(at, 2, message, suggestion=suggestion)


_HUNDREDS = {"WSP": 100, "CAR": 200, "SEG": 300, "MSG": 400, "DAT": 500}


def code(prefix: str, number: int) -> str:
    """The stable code: the same number means the same in every group (01 unknown key, 02 missing, 03 wrong value, 04
    unknown name)."""
    return f"{prefix}{_HUNDREDS[prefix] + number}"


def wrong(message: str, expected: str = "", suggestion: str = "") -> PydanticCustomError:
    """A wrong value, as pydantic carries it to `words.read`."""
    return PydanticCustomError(
        "carillon", "{message}", {"message": message, "expected": expected, "suggestion": suggestion}
    )


def text_of(value: object, reading: Reading, expected: str) -> Text:
    """The text that stands there, `{value: NAME}` looked up; raises for a list, another mapping or nothing."""
    match value:
        case Text() if value.absent:
            raise wrong("nothing stands after the colon", expected)
        case Text():
            return value
        case Map() if set(value) == {"value"}:
            return _looked_up(value, reading)
        case Map():
            raise wrong("a mapping stands here", expected)
        case Seq():
            raise wrong("a list stands here", expected)
        case _:
            raise wrong("this is not text", expected)


def _looked_up(reference: Map, reading: Reading) -> Text:
    name = next(iter(reference.values()))
    if not isinstance(name, Text) or name not in reading.values:
        hint = did_you_mean(str(name), reading.values)
        raise wrong(f'no value "{name}" in values.yaml', suggestion=hint)
    found = Text(reading.values[name])
    found.at, found.parent, found.key = reference.at, reference.parent, reference.key
    found.plain, found.absent = False, False
    return found


@dataclass(frozen=True, slots=True)
class Scalar:
    """Metadata for `Annotated`: how a text becomes a typed value."""

    parse: Callable[[Text], Any]
    expected: str
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    words: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._read, metadata={"words": self.words} if self.words else None
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**(self.schema or {"type": "string"})}

    def _read(self, value: object, info: core_schema.ValidationInfo[Any]) -> Any:
        text = text_of(value, info.context, self.expected)
        try:
            return self.parse(text)
        except ValueError as error:
            said = str(error)
            raise wrong(said if said != _UNSAID else f'"{text}" is not {self.expected}', self.expected) from None


_UNSAID = "-"


def _matching(pattern: str) -> Callable[[Text], Text]:
    compiled = re.compile(pattern)

    def parse(text: Text) -> Text:
        if compiled.search(text) is None:
            raise ValueError(_UNSAID)
        return text

    return parse


def _pattern(pattern: str, expected: str) -> Scalar:
    return Scalar(_matching(pattern), expected, {"type": "string", "pattern": pattern})


@dataclass(frozen=True, slots=True)
class Ref:
    """A name that is defined elsewhere in the workspace: keeps its place, so that lints can point at it.

    In a JSON Schema it is completed with this workspace's own names of the kind (`segment`, `topic`, `event` …).
    """

    kind: str
    expected: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _pattern(_REF, self.expected).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "x-names": self.kind}


_REF = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$"


@dataclass(frozen=True, slots=True)
class Choice:
    """For a `Literal`: one of its words, exactly."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return self._scalar(get_args(source)).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        metadata = schema.get("metadata") or {}
        return {"enum": list(metadata.get("words", ()))} if "words" in metadata else {"type": "string"}

    def _scalar(self, words: tuple[str, ...]) -> Scalar:
        shown = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
        return Scalar(partial(_parse_choice, words), shown, words=words)


def _parse_choice(words: tuple[str, ...], text: Text) -> str:
    if text not in words:
        hint = did_you_mean(text, words)
        raise ValueError(f'no "{text}" here' + (f"; {hint}" if hint.startswith("did") else ""))
    return str(text)


def parse_share(text: str) -> int:
    """`5%` as buckets of 10,000."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?)\s?%", text)
    if found is None:
        raise ValueError(f'"{text}" has no percent sign' if re.fullmatch(r"[\d.]+", text) else _UNSAID)
    share = int(Decimal(found[1]) * 100)
    if share > 10_000:
        raise ValueError(f'"{text}" is more than everything')
    return share


def parse_clock(text: str) -> time:
    """`09:00` as a clock time."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(_UNSAID)
    return time(int(found[1]), int(found[2]))


def parse_local(text: str) -> datetime:
    """`2026-12-01 09:00` as a date with a clock time."""
    found = re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{1,2}:\d{2}))?", text)
    if found is None:
        raise ValueError(_UNSAID)
    if found[2] is None:
        raise ValueError(f"the clock time is missing: {text} 09:00")
    return datetime.combine(parse_date(found[1]), parse_clock(found[2]))


def parse_date(text: str) -> date:
    """`2026-12-01` as a date."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is None:
        raise ValueError(_UNSAID)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"there is no {text} in the calendar") from None


def parse_number(text: str) -> int | float:
    """`3`, `2.5` or `10%` as a number."""
    found = re.fullmatch(r"(-?\d{1,15}(?:\.\d{1,9})?)\s?(%)?", text)
    if found is None:
        raise ValueError(_UNSAID)
    exact = Decimal(found[1]) / (100 if found[2] else 1)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def parse_flag(text: str) -> bool:
    """`true`/`yes` or `false`/`no`."""
    if text.lower() not in {"true", "yes", "false", "no"}:
        raise ValueError(_UNSAID)
    return text.lower() in {"true", "yes"}


def _parse_whole(lowest: int, highest: int, text: Text) -> int:
    if re.fullmatch(r"-?\d{1,12}", text) is None:
        raise ValueError(_UNSAID)
    if not lowest <= int(text) <= highest:
        raise ValueError(f"{text} is not between {lowest} and {highest:,}")
    return int(text)


def _parse_zone(text: Text) -> Text:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        hint = did_you_mean(text, _some_zones())
        raise ValueError(f'no time zone "{text}"' + (f"; {hint}" if hint.startswith("did") else "")) from None
    return text


def _some_zones() -> set[str]:
    from zoneinfo import available_timezones

    return available_timezones()


def _parse_when(text: Text) -> Span:
    return parse_span(text.removeprefix("skip after ").strip())


def _parse_again(text: Text) -> Span | str:
    if text in ("always", "never"):
        return str(text)
    if not text.startswith("after "):
        raise ValueError(f'write "after {text}"' if re.fullmatch(DURATION_PATTERN, text) else _UNSAID)
    return parse_span(text.removeprefix("after "))


def _parse_ago(text: Text) -> Span:
    return parse_span(text.removesuffix("ago").strip())


def whole(lowest: int, highest: int, expected: str) -> Scalar:
    """A whole number in this range."""
    schema = {"type": ["integer", "string"], "minimum": lowest, "maximum": highest}
    return Scalar(partial(_parse_whole, lowest, highest), expected, schema)


Line = Annotated[Text, Scalar(_matching(r"\S"), "a text")]
NewName = Annotated[Text, _pattern(NAME_PATTERN, "a name: small letters, digits and _, beginning with a letter")]
Path = Annotated[Text, _pattern(r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", "a field such as total or products.category")]
Duration = Annotated[
    Span, Scalar(parse_span, "a duration such as 6h or 3d", {"type": "string", "pattern": DURATION_PATTERN})
]
Offset = Annotated[Span, Scalar(parse_offset, "an offset such as -7d")]
Share = Annotated[int, Scalar(parse_share, "a share such as 10%", {"type": "string", "pattern": r"^\d+(\.\d+)? ?%$"})]
Clock = Annotated[
    time, Scalar(parse_clock, "a clock time such as 09:00", {"type": "string", "pattern": r"^\d{1,2}:\d\d$"})
]
ClockRange = Annotated[Text, _pattern(r"^\d{1,2}:\d\d-\d{1,2}:\d\d$", "clock times such as 21:00-08:00")]
Local = Annotated[datetime, Scalar(parse_local, "a date and clock time such as 2026-12-01 09:00")]
Number = Annotated[float, Scalar(parse_number, "a number", {"type": ["number", "string"]})]
Amount = Annotated[
    Decimal,
    Scalar(
        parse_amount,
        "an amount such as 19.90",
        {"anyOf": [{"type": "number"}, {"type": "string", "pattern": MONEY_PATTERN}]},
    ),
]
Flag = Annotated[bool, Scalar(parse_flag, "true or false", {"type": ["boolean", "string"]})]
Country = Annotated[Text, _pattern(r"^[A-Z]{2}$", "a country of two capital letters such as DE")]
Language = Annotated[Text, _pattern(r"^[a-z]{2,3}(-[A-Z]{2})?$", "a language such as de or pt-BR")]
Currency = Annotated[Text, _pattern(r"^[A-Z]{3}$", "a currency of three capital letters such as EUR")]
Zone = Annotated[Text, Scalar(_parse_zone, "a time zone such as Europe/Berlin")]
Url = Annotated[Text, _pattern(r"^https?://[^\s/]+\S*$", "an address that begins with https://")]
Mailbox = Annotated[Text, _pattern(r"^[^\s@<>]+@[^\s@<>]+\.[^\s@<>.]+$", "an e-mail address")]
From = Annotated[Text, _pattern(r"^(?:[^<>]*<[^\s@<>]+@[^\s@<>]+>|\S.*)$", "Name <name@shop.example>")]
Rate = Annotated[Text, _pattern(r"^\d+ ?/ ?(s|min|h|d)$", "a rate such as 50/s or 2000/d")]
Range = Annotated[Text, _pattern(r"^\d+ ?- ?\d+$", "a range such as 1000-2000")]
IfLate = Annotated[Span, Scalar(_parse_when, 'a duration such as "2h" or "skip after 2h"')]
AgainWord = Annotated[Any, Scalar(_parse_again, 'never, always or a duration such as "after 30d"')]

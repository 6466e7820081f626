"""`{total: {over: 20}}` → typed tests: the declared type of a field decides what its value means and what may be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

from pydantic_core import PydanticCustomError

from carillon.definition.conditions import Ago, FieldTest, FieldType, Op, ThingsTest, Value
from carillon.definition.model import Field
from carillon.definition.nodes import Map, Node, Seq, Text
from carillon.definition.scalars import Reading, parse_date, parse_flag, parse_local, parse_number, text_of
from carillon.kernel.clock import to_micros
from carillon.kernel.durations import Span, parse_span
from carillon.kernel.money import parse_cents
from carillon.kernel.problems import did_you_mean

_TEXT_OPS: tuple[Op, ...] = (
    "is", "is_not", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with", "exists",
)  # fmt: skip
_NUMBER_OPS: tuple[Op, ...] = (
    "is", "is_not", "in", "not_in", "over", "at_least", "under", "at_most", "between", "exists",
)  # fmt: skip
_TIME_OPS: tuple[Op, ...] = (
    "is", "is_not", "before", "after", "between", "in_last", "in_next", "anniversary", "exists",
)  # fmt: skip
OPS_OF: Mapping[FieldType, tuple[Op, ...]] = {
    **dict.fromkeys(("word", "email", "phone", "country", "language", "one_of"), _TEXT_OPS),
    **dict.fromkeys(("number", "money"), _NUMBER_OPS),
    **dict.fromkeys(("date", "instant"), _TIME_OPS),
    "flag": ("is", "is_not", "exists"),
    "list": ("contains", "not_contains", "exists"),
}
_ALL_OPS = frozenset(get_args(Op))
_EXPECTED: Mapping[FieldType, str] = {
    "number": "a number",
    "money": "an amount such as 19.90",
    "flag": "true or false",
    "date": "a date such as 2026-12-24",
    "instant": "a date and clock time such as 2026-12-24 18:00",
    "country": "a country of two capital letters such as DE",
}


@dataclass(slots=True)
class Typing:
    """What is needed to type a value: the workspace's zone for instants, and where problems go."""

    reading: Reading
    zone: ZoneInfo


def tests_of(
    where: Mapping[Text, Any], fields: Mapping[str, Field], owner: str, typing: Typing
) -> list[FieldTest | ThingsTest]:
    """The typed tests of a `where`; what is wrong is noted and left out. `owner` says whose fields these are."""
    found: list[FieldTest | ThingsTest] = []
    for name, value in where.items():
        declared = fields.get(name)
        if declared is None:
            typing.reading.note(name.at, 4, f'{owner} has no field "{name}"', suggestion=did_you_mean(name, fields))
        elif declared.things:
            found += _things(name, declared, value, typing)
        else:
            found += _field(name, declared, value, typing)
    return found


def _things(name: Text, declared: Field, value: Node, typing: Typing) -> list[FieldTest | ThingsTest]:
    if not isinstance(value, Map):
        typing.reading.note(
            value.at, 3, f'"{name}" is a list of things', f"fields of one: {{{', '.join(declared.things)}}}"
        )
        return []
    if set(value) == {"exists"}:
        return list(_field(name, declared, value, typing))
    inner = tests_of(value, declared.things, f'"{name}"', typing)
    return [ThingsTest(str(name), tuple(test for test in inner if isinstance(test, FieldTest)))]


def _field(name: Text, declared: Field, value: Node, typing: Typing) -> list[FieldTest]:
    match value:
        case Map() if set(value) != {"value"}:
            tests = [_operator(name, declared, op, operand, typing) for op, operand in value.items()]
            return [test for test in tests if test is not None]
        case Seq():
            test = _checked(name, declared, "in", value, value, typing)
        case _:
            test = _checked(name, declared, "is", value, value, typing)
    return [test] if test is not None else []


def _operator(name: Text, declared: Field, op: Text, operand: Node, typing: Typing) -> FieldTest | None:
    if op not in _ALL_OPS:
        typing.reading.note(op.at, 1, f'no operator "{op}"', suggestion=did_you_mean(op, OPS_OF[declared.type]))
        return None
    return _checked(name, declared, _op(op), op, operand, typing)


def _op(text: str) -> Op:
    return next(op for op in get_args(Op) if op == text)


def _checked(name: Text, declared: Field, op: Op, at: Node, operand: Node, typing: Typing) -> FieldTest | None:
    allowed = OPS_OF[declared.type] if not declared.things else ("exists",)
    if op not in allowed:
        asked = {"is": "a plain value is", "in": "a list is"}.get(op, f'"{op}" is') if at is operand else f'"{op}" is'
        typing.reading.note(
            at.at,
            3,
            f'{asked} nothing that can be asked of "{name}", {_kind(declared)}',
            f"one of {', '.join(allowed)}",
        )
        return None
    try:
        return FieldTest(str(name), declared.type, op, _operand(op, operand, declared, typing))
    except _Wrong as wrong:
        typing.reading.note(wrong.node.at, 3, wrong.message, wrong.expected)
        return None


def _kind(declared: Field) -> str:
    article = "an" if declared.type[0] in "aeio" else "a"
    return "a list of things" if declared.things else f"{article} {declared.type}".replace("one_of", "word of a list")


class _Wrong(Exception):
    def __init__(self, node: Node, message: str, expected: str) -> None:
        self.node, self.message, self.expected = node, message, expected


def _operand(op: Op, operand: Node, declared: Field, typing: Typing) -> Value:
    match op:
        case "exists":
            return _parsed(operand, parse_flag, "true or false", typing)  # type: ignore[no-any-return]
        case "in" | "not_in":
            return tuple(_scalar(one, declared, typing) for one in _several(operand))
        case "between":
            low, high = _pair(operand)
            return _scalar(low, declared, typing), _scalar(high, declared, typing)
        case "in_last" | "in_next" | "anniversary":
            return _parsed(operand, parse_span, "a duration such as 30d", typing)  # type: ignore[no-any-return]
        case "before" | "after" if isinstance(operand, Text) and operand.endswith(" ago"):
            return Ago(_parsed(operand, _parse_ago, "a time such as 120d ago", typing))
        case "contains" | "not_contains" | "starts_with" | "ends_with":
            return str(_text(operand, "a text", typing))
        case _:
            return _scalar(operand, declared, typing)


def _parse_ago(text: str) -> Span:
    return parse_span(text.removesuffix(" ago"))


def _several(operand: Node) -> list[Node]:
    if not isinstance(operand, Seq) or not operand:
        raise _Wrong(operand, "this is not a list", "a list such as [a, b]")
    return operand


def _pair(operand: Node) -> tuple[Node, Node]:
    if not isinstance(operand, Seq) or len(operand) != 2:
        raise _Wrong(operand, "between has two ends", "[lowest, highest]")
    return operand[0], operand[1]


def _text(node: Node, expected: str, typing: Typing) -> Text:
    try:
        return text_of(node, typing.reading, expected)
    except PydanticCustomError as error:
        raise _Wrong(node, error.message(), expected) from None


def _parsed(node: Node, parse: Any, expected: str, typing: Typing) -> Any:
    text = _text(node, expected, typing)
    try:
        return parse(text)
    except ValueError as error:
        said = str(error)
        raise _Wrong(node, said if len(said) > 1 else f'"{text}" is not {expected}', expected) from None


def _scalar(node: Node, declared: Field, typing: Typing) -> str | int | float | bool:
    expected = _EXPECTED.get(declared.type, "a word")
    text = _text(node, expected, typing)
    match declared.type:
        case "number":
            return _parsed(node, parse_number, expected, typing)  # type: ignore[no-any-return]
        case "money":
            return _parsed(node, parse_cents, expected, typing)  # type: ignore[no-any-return]
        case "flag":
            return _parsed(node, parse_flag, expected, typing)  # type: ignore[no-any-return]
        case "date":
            return str(_parsed(node, parse_date, expected, typing).isoformat())
        case "instant":
            return _instant(node, expected, typing)
        case "one_of" if text not in declared.options:
            hint = did_you_mean(text, declared.options)
            raise _Wrong(
                node, f'"{text}" is none of the words of "{declared.name}"', f"{', '.join(declared.options)}; {hint}"
            )
        case "country" if re.fullmatch("[A-Z]{2}", text) is None:
            raise _Wrong(node, f'"{text}" is not a country', expected)
        case _:
            return str(text)


def _instant(node: Node, expected: str, typing: Typing) -> int:
    local: datetime = _parsed(node, _parse_instant, expected, typing)
    return to_micros(local if local.tzinfo is not None else local.replace(tzinfo=typing.zone))


def _parse_instant(text: str) -> datetime:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})", text):
        return datetime.fromisoformat(text)
    return parse_local(text)

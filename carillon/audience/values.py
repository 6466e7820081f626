"""Tests on plain values: the reference for `fields` and `dates`, computed day by day instead of by ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from carillon.audience import bounds
from carillon.audience.moment import ConditionError, Moment
from carillon.audience.patterns import found
from carillon.definition.conditions import Ago, FieldTest, Span, ThingsTest, Where
from carillon.kernel.clock import Micros
from carillon.kernel.time.calendar import add_months, celebrated_on, utc_to_local

_NEGATIONS = {"is_not": "is", "not_in": "in", "not_contains": "contains"}


def tests_hold(tests: Where, document: Mapping[str, Any], zone: str, at: Moment) -> bool:
    """Do all tests hold of the document?"""
    return all(test_holds(test, document, zone, at) for test in tests)


def test_holds(test: FieldTest | ThingsTest, document: Mapping[str, Any], zone: str, at: Moment) -> bool:
    """Does the test hold of the document, on the clock of the zone?"""
    if isinstance(test, ThingsTest):
        things = _at(document, test.field)
        return isinstance(things, list) and any(
            isinstance(thing, dict) and tests_hold(test.tests, thing, zone, at) for thing in things
        )
    value = typed(_at(document, test.field), test)
    if test.op == "exists":
        return (value is not None) is bool(test.value)
    if test.op in _NEGATIONS:
        return value is None or not _present(FieldTest(test.field, test.type, _NEGATIONS[test.op], test.value), value, zone, at)  # type: ignore[arg-type]  # fmt: skip
    return value is not None and _present(test, value, zone, at)


def typed(value: Any, test: FieldTest) -> Any:
    """The value if it is of the declared type, else None: as good as missing."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match test.type:
        case "number" | "money" | "instant":
            return value if is_number else None
        case "flag":
            return value if isinstance(value, bool) else None
        case "list":
            return value
        case _:
            return value if isinstance(value, str) else None


def leaves(document: Mapping[str, Any], field: str) -> Iterator[Any]:
    """The values at a field, or at `products.product_id` of every line."""
    head, dot, rest = field.partition(".")
    value = document.get(head)
    if not dot:
        yield value
    elif isinstance(value, list):
        for line in value:
            if isinstance(line, dict):
                yield from leaves(line, rest)


def say_found(tests: Where, document: Mapping[str, Any]) -> str:
    """The fields that the tests ask for, as they stand in the document."""
    names = dict.fromkeys(test.field for test in tests)
    return ", ".join(f"{name} {_shown(_at(document, name))}" for name in names)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} lines"
    return "not known" if value is None else str(value)


def _at(document: Mapping[str, Any], field: str) -> Any:
    value: Any = document
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _present(test: FieldTest, value: Any, zone: str, at: Moment) -> bool:
    if isinstance(value, list) or test.type == "list":
        return isinstance(value, list) and any(_item(test, item) for item in value if isinstance(item, str))
    match test.op, test.value:
        case "in", tuple(options):
            return value in [_lowered(test, option) for option in options]
        case "between", (low, high):
            return bool(_lowered(test, low) <= value <= _lowered(test, high))
        case (("is" | "over" | "at_least" | "under" | "at_most"), wanted):
            return bool(bounds.COMPARISONS[test.op](value, _lowered(test, wanted)))
        case (("contains" | "starts_with" | "ends_with"), str(text)):
            return found(value, test.op, text)
    if test.type == "date":
        return _date(test, value, zone, at)
    if test.type == "instant":
        return _instant(test, value, zone, at)
    raise ConditionError(f"{test.field}: {test.type} knows no {test.op}: {test.value!r}")


def _lowered(test: FieldTest, value: Any) -> Any:
    return value.lower() if test.type == "email" and isinstance(value, str) else value


def _item(test: FieldTest, item: str) -> bool:
    match test.op, test.value:
        case "in", tuple(options):
            return item in options
        case "is", wanted:
            return item == wanted
        case "contains", str(text):
            return found(item, "equals", text)
        case _:
            raise ConditionError(f"{test.field}: a list knows no {test.op}: {test.value!r}")


def _date(test: FieldTest, value: str, zone: str, at: Moment) -> bool:
    today = utc_to_local(zone, at.now).date()
    match test.op, test.value:
        case "before", limit:
            return value < _day(limit, today, zone).isoformat()
        case "after", limit:
            return value > _day(limit, today, zone).isoformat()
        case "in_last", Span() as span:
            return _moved(today, span, -1) < date.fromisoformat(value) <= today
        case "in_next", Span() as span:
            return today <= date.fromisoformat(value) < _moved(today, span, 1)
        case "anniversary", Span() as span:
            return _is_celebrated(date.fromisoformat(value), today, _moved(today, span, 1))
        case _:
            raise ConditionError(f"{test.field}: a date knows no {test.op}: {test.value!r}")


def _day(limit: object, today: date, zone: str) -> date:
    if isinstance(limit, Ago):
        return _moved(today, limit.span, -1)
    if isinstance(limit, int):
        return utc_to_local(zone, limit).date()
    return date.fromisoformat(str(limit))


def _moved(day: date, span: Span, sign: int) -> date:
    whole_days = (span.seconds + 86_399) // 86_400
    return add_months(day, sign * span.months) + timedelta(days=sign * whole_days)


def _is_celebrated(born: date, today: date, end: date) -> bool:
    """Is it, on some day from today on before `end` (today at least), some years since?"""
    day = today
    while day == today or day < end:
        if born.year < day.year and celebrated_on(born, day.year) == day:
            return True
        day += timedelta(days=1)
    return False


def _instant(test: FieldTest, value: Micros, zone: str, at: Moment) -> bool:
    match test.op, test.value:
        case (("before" | "after"), str(day)):
            shown, limit = utc_to_local(zone, int(value)).date(), date.fromisoformat(day)
            return shown < limit if test.op == "before" else shown > limit
        case (("before" | "after"), limit):
            instant = at.ago(limit.span) if isinstance(limit, Ago) else limit
            return value < instant if test.op == "before" else value > instant  # type: ignore[operator]
        case "in_last", Span() as span:
            return at.ago(span) < value <= at.now
        case "in_next", Span() as span:
            return at.now <= value < at.ahead(span)
        case _:
            raise ConditionError(f"{test.field}: an instant knows no {test.op}: {test.value!r}")

"""Tests on fields as SQL: a contact's columns and attributes, an event's properties, the lines of a list of things.

Every predicate made here is TRUE or FALSE, never NULL: a missing field fulfils `exists: false`, `is_not`, `not_in` and
`not_contains`, and nothing else. So it may be negated freely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import sqlalchemy as sa

from carillon.audience import bounds, dates
from carillon.audience.moment import ConditionError, Expression, Moment, Predicate
from carillon.audience.patterns import matches
from carillon.definition.conditions import FieldTest, ThingsTest, Where
from carillon.store.json import (
    Document,
    any_text,
    any_thing,
    flag_at,
    has_at,
    integer_at,
    is_plain,
    number_at,
    text_at,
    word_at,
)

BUILT_IN = {
    "id": "shop_id",
    "email": "email_key",
    "phone": "phone_key",
    "country": "country",
    "language": "language",
    "timezone": "zone",
    "created_at": "created_at",
}
"""Contact fields that are columns; all others stand in `attrs`."""

_OPPOSITES = {"is_not": "is", "not_in": "in", "not_contains": "contains"}


def contact_holds(tests: Where, contact: sa.FromClause, at: Moment) -> Predicate:
    """Do all tests hold of the contact's own fields?"""
    return sa.and_(sa.true(), *(_contact_test(test, contact, at) for test in tests))


def props_hold(tests: Where, props: Document, zone: Expression | None, at: Moment) -> Predicate:
    """Do all tests hold of a JSON document? `zone` is the contact's, where `asks_clock(tests)`."""
    return sa.and_(sa.true(), *(_document_test(test, props, zone, at) for test in tests))


def asks_clock(tests: Where) -> bool:
    """Does an answer depend on the contact's zone?"""
    return any(
        asks_clock(test.tests) if isinstance(test, ThingsTest) else dates.needs_clock(test) for test in tests
    )  # fmt: skip


def _contact_test(test: FieldTest | ThingsTest, contact: sa.FromClause, at: Moment) -> Predicate:
    zone: Expression = contact.c.zone
    if isinstance(test, FieldTest) and test.field in BUILT_IN:
        return _value_test(test, contact.c[BUILT_IN[test.field]], zone, at)
    return _document_test(test, contact.c.attrs, zone, at)


def _document_test(
    test: FieldTest | ThingsTest, document: Document, zone: Expression | None, at: Moment
) -> Predicate:  # fmt: skip
    match test:
        case ThingsTest(field, tests):
            return any_thing(document, _path(field), lambda line: props_hold(tests, line, zone, at))
        case FieldTest(type="list"):
            return _list_test(test, document, at)
        case FieldTest():
            return _value_test(test, _typed(document, test), zone, at)
        case _:
            assert_never(test)


def _path(field: str) -> tuple[str, ...]:
    return tuple(field.split("."))


def _typed(document: Document, test: FieldTest) -> Expression:
    path = _path(test.field)
    match test.type:
        case "number":
            return number_at(document, path)
        case "money" | "instant":
            return integer_at(document, path)
        case "flag":
            return flag_at(document, path)
        case "word" | "date" | "email" | "phone" | "country" | "language" | "one_of":
            return (word_at if _asks_for_words(test) else text_at)(document, path)
        case "list":
            raise ConditionError(f"{test.field}: a list has no single value")
        case _:
            assert_never(test.type)


def _asks_for_words(test: FieldTest) -> bool:
    """Is the field only compared for equality with texts that no other JSON reads as?"""
    match test.op, test.value:
        case "is" | "is_not", str(text):
            return is_plain(text)
        case "in" | "not_in", tuple(options):
            return all(isinstance(option, str) and is_plain(option) for option in options)
        case _:
            return False


def _value_test(test: FieldTest, value: Expression, zone: Expression | None, at: Moment) -> Predicate:
    if test.op == "exists":
        return value.is_not(None) if test.value else value.is_(None)
    opposite = _OPPOSITES.get(test.op)
    holds = sa.func.coalesce(_present(test, opposite or test.op, value, zone, at), sa.false(), type_=sa.Boolean())
    return sa.not_(holds) if opposite else holds


def _present(test: FieldTest, op: str, value: Expression, zone: Expression | None, at: Moment) -> Predicate:
    """The test of a value that is there; NULL where it is missing."""
    match op, test.value:
        case "in", tuple(options):
            return value.in_([_constant(test, option) for option in options])
        case "between", (low, high):
            ordered = _ordered(test, value, at)
            return sa.and_(ordered >= _constant(test, low), ordered <= _constant(test, high))
        case (("is" | "over" | "at_least" | "under" | "at_most"), (str() | int() | float())):
            answer: Predicate = bounds.COMPARISONS[op](_ordered(test, value, at), _constant(test, test.value))
            return answer
        case (("contains" | "starts_with" | "ends_with"), str(text)):
            return matches(value, op, text, at.dialect)
    clock = zone if zone is not None else sa.null()
    if test.type == "date":
        return dates.date_holds(_ordered(test, value, at), test, clock, at)
    if test.type == "instant":
        return dates.instant_holds(value, test, clock, at)
    raise ConditionError(f"{test.field}: {test.type} knows no {test.op}: {test.value!r}")


def _ordered(test: FieldTest, value: Expression, at: Moment) -> Expression:
    # PostgreSQL's usual collations skip the hyphens of a date; "C" compares as SQLite does.
    is_text = test.type not in ("number", "money", "instant", "flag")
    return sa.collate(value, "C") if is_text and at.dialect == "postgresql" else value


def _constant(test: FieldTest, value: object) -> object:
    if test.type == "flag":
        return int(bool(value))
    return value.lower() if test.type == "email" and isinstance(value, str) else value


def _list_test(test: FieldTest, document: Document, at: Moment) -> Predicate:
    path = _path(test.field)
    if test.op == "exists":
        return has_at(document, path) if test.value else sa.not_(has_at(document, path))
    holds = any_text(document, path, _item_test(test, at))
    return sa.not_(holds) if test.op in _OPPOSITES else holds


def _item_test(test: FieldTest, at: Moment) -> Callable[[Expression], Predicate]:
    match _OPPOSITES.get(test.op, test.op), test.value:
        case "in", tuple(options):
            return lambda item: item.in_(options)
        case "is", str(text):
            return lambda item: item == text
        case "contains", str(text):
            return lambda item: matches(item, "equals", text, at.dialect)
        case _:
            raise ConditionError(f"{test.field}: a list knows no {test.op}: {test.value!r}")

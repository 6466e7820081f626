"""A condition in a marketer's words, on one line."""

from __future__ import annotations

from typing import Any, assert_never

from carillon.definition.conditions import (
    Ago,
    All,
    AnswerIs,
    AnyOf,
    Compare,
    Condition,
    Consented,
    ContactIs,
    CouponIs,
    EnrolledIn,
    FieldTest,
    HasEvent,
    InList,
    InSegment,
    Later,
    Not,
    Reachable,
    Responded,
    Span,
    Sql,
    ThingsTest,
    TriggerIs,
    Where,
)

_OPS = {
    "is": "is", "is_not": "is not", "in": "is one of", "not_in": "is none of", "over": "over", "at_least": "at least",
    "under": "under", "at_most": "at most", "between": "between", "contains": "contains", "not_contains": "does not contain",
    "starts_with": "starts with", "ends_with": "ends with", "before": "before", "after": "after",
    "in_last": "in the last", "in_next": "in the next", "anniversary": "has its anniversary within",
}  # fmt: skip


def say(condition: Condition) -> str:
    """The condition on one line."""
    match condition:
        case All(parts):
            return " and ".join(_inner(part) for part in parts) if parts else "everyone"
        case AnyOf(parts):
            return " or ".join(_inner(part) for part in parts) if parts else "nobody"
        case Not(part):
            return f"not {_inner(part)}"
        case ContactIs(tests):
            return say_tests(tests)
        case HasEvent():
            return _say_event(condition)
        case Responded():
            name = f" {condition.name}" if condition.name else ""
            return f"{condition.what} {condition.of}{name}{_say_count(condition.count)}{say_within(condition.within)}"
        case Reachable(channel):
            return f"reachable by {channel}"
        case Consented(channel, topic):
            return f"consent for {channel}" + (f" on {topic}" if topic else "")
        case InSegment(name):
            return f"in segment {name}"
        case InList(name):
            return f"on list {name}"
        case EnrolledIn(campaigns, within):
            return f"{'entered' if within else 'under way in'} {' or '.join(campaigns)}{say_within(within)}"
        case TriggerIs(tests):
            return f"the trigger's {say_tests(tests)}"
        case AnswerIs(tests):
            return f"the answer's {say_tests(tests)}"
        case CouponIs(pool, state):
            return f"coupon {pool} {state}"
        case Sql(text):
            return f"sql {text}"
        case Later(word, value):
            return f"{word} {value}"
        case _:
            assert_never(condition)


def say_test(test: FieldTest | ThingsTest) -> str:
    """One test of a field, on one line."""
    if isinstance(test, ThingsTest):
        return f"{test.field} with {say_tests(test.tests)}"
    if test.op == "exists":
        return f"{test.field} {'is known' if test.value else 'is not known'}"
    return f"{test.field} {_OPS[test.op]} {say_value(test.value, is_money=test.type == 'money')}"


def say_tests(tests: Where) -> str:
    """Tests that must all hold, on one line."""
    return " and ".join(say_test(test) for test in tests) or "anything"


def say_value(value: Any, *, is_money: bool = False) -> str:
    """A value as a marketer writes it: money in whole units, durations with their unit."""
    match value:
        case tuple():
            return ", ".join(say_value(item, is_money=is_money) for item in value)
        case Ago(span):
            return f"{span} ago"
        case Span():
            return str(value)
        case bool():
            return "true" if value else "false"
        case int() | float() if is_money:
            return f"{value / 100:.2f}"
        case _:
            return str(value)


def say_bound(bound: Compare) -> str:
    """`at least 2`, `between 1 and 3`."""
    if isinstance(bound.value, tuple):
        return f"between {bound.value[0]} and {bound.value[1]}"
    return str(bound.value) if bound.op == "is" else f"{_OPS[bound.op]} {bound.value}"


def _inner(condition: Condition) -> str:
    said = say(condition)
    return f"({said})" if isinstance(condition, All | AnyOf) and len(condition.parts) > 1 else said


def _say_event(condition: HasEvent) -> str:
    said = condition.event + _say_count(condition.count)
    if condition.where:
        said += f" where {say_tests(condition.where)}"
    if condition.same:
        said += f" with the same {', '.join(same.field for same in condition.same)}"
    said += say_within(condition.within)
    if condition.since:
        said += f" since {condition.since}"
    if condition.sum:
        said += f", {condition.sum_of} adding up to {say_bound(condition.sum)}"
    return said


def _say_count(count: Compare) -> str:
    if (count.op, count.value) == ("at_least", 1):
        return ""
    return " never" if count.value == 0 and count.op in ("is", "at_most") else f" {say_bound(count)} times"


def say_within(within: Span | None) -> str:
    """` in the last 30d`, or nothing."""
    return f" in the last {within}" if within else ""

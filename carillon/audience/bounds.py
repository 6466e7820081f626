"""Bounds on counts and sums: `count: {at_least: 2}`, `sum: {over: 100}`, in SQL and in Python by the same table."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from carillon.audience.moment import Expression, Predicate
from carillon.definition.conditions import Compare

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "is": operator.eq,
    "over": operator.gt,
    "at_least": operator.ge,
    "under": operator.lt,
    "at_most": operator.le,
}
"""The operators that work on numbers as on SQL expressions."""


def holds(bound: Compare, value: float) -> bool:
    """Does the number lie within the bound?"""
    if isinstance(bound.value, tuple):
        low, high = bound.value
        return low <= value <= high
    return bool(COMPARISONS[bound.op](value, bound.value))


def is_any(bound: Compare) -> bool:
    """Does the bound on a count only ask for at least one?"""
    return (bound.op, bound.value) in (("at_least", 1), ("over", 0))


def is_none(bound: Compare) -> bool:
    """Does the bound on a count only ask for none?"""
    return (bound.op, bound.value) in (("is", 0), ("at_most", 0), ("under", 1))


def within(bound: Compare, value: Expression) -> Predicate:
    """The same question as SQL; NULL for NULL."""
    if isinstance(bound.value, tuple):
        low, high = bound.value
        return sa.and_(value >= low, value <= high)
    answer: Predicate = COMPARISONS[bound.op](value, bound.value)
    return answer


def surely_within(bound: Compare, least: Expression, most: Expression) -> Predicate:
    """Is every count from `least` to `most` within the bound?"""
    match bound.op, bound.value:
        case "between", (low, high):
            return sa.and_(least >= low, most <= high)
        case "is", value:
            return sa.and_(least == value, most == value)
        case (("over" | "at_least"), _):
            return within(bound, least)
        case _:
            return within(bound, most)


def surely_outside(bound: Compare, least: Expression, most: Expression) -> Predicate:
    """Is no count from `least` to `most` within the bound?"""
    match bound.op, bound.value:
        case "between", (low, high):
            return sa.or_(most < low, least > high)
        case "is", value:
            return sa.or_(most < value, least > value)
        case (("over" | "at_least"), _):
            return sa.not_(within(bound, most))
        case _:
            return sa.not_(within(bound, least))

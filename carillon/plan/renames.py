"""Steps renamed by `was:` in a compiled plan: every place that names one, in nodes and in conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from carillon.definition.conditions import HasEvent, Responded
from carillon.definition.model import Goal, Wait, WaitDays, WaitUntil, WaitUntilDate, WaitUntilDay
from carillon.plan.model import (
    ActNode,
    ChooseNode,
    ExitNode,
    MessageNode,
    Plan,
    PlanArm,
    PlanBranch,
    SplitNode,
    WaitForNode,
    WaitNode,
)

_STEP_FIELDS: Mapping[type, tuple[str, ...]] = {
    MessageNode: ("id", "next"),
    WaitNode: ("id", "next"),
    ChooseNode: ("id", "otherwise"),
    WaitForNode: ("id", "late"),
    PlanBranch: ("next",),
    SplitNode: ("id",),
    PlanArm: ("next",),
    ActNode: ("id", "next"),
    ExitNode: ("id",),
    Wait: ("id",),
    WaitDays: ("id",),
    WaitUntilDay: ("id",),
    WaitUntil: ("id",),
    WaitUntilDate: ("id",),
    HasEvent: ("since",),
    Goal: ("from_step",),
}
"""Which fields hold a step's id; all others are only looked through."""


def with_steps_renamed(plan: Plan, renames: Mapping[str, str]) -> Plan:
    """The plan with old step ids replaced by new ones, wherever it names a step."""
    renamed = _renamed(dataclasses.replace(plan, step_was=()), renames)
    assert isinstance(renamed, Plan)
    return renamed


def _renamed(value: Any, renames: Mapping[str, str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_renamed(part, renames) for part in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    names_step = _STEP_FIELDS.get(type(value), ())
    if isinstance(value, Responded) and value.of == "step":
        names_step = ("name",)
    changed = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        changed[field.name] = renames.get(part, part) if field.name in names_step else _renamed(part, renames)
    return dataclasses.replace(value, **changed)

"""Where an arrival leads: the node a person stands at next, and when something is due there.

Arrival is always the instant of the previous node, never the run's: a late run moves nobody's waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import sqlalchemy as sa

from carillon.audience.fields import BUILT_IN
from carillon.definition.entries import WEEKDAYS
from carillon.definition.model import Wait, WaitDays, WaitUntil, WaitUntilDate, WaitUntilDay
from carillon.experiment.split import is_in_sample
from carillon.journey.best_time import best_hour_after
from carillon.journey.ground import Ground
from carillon.kernel.clock import SECOND
from carillon.plan.model import ActNode, ChooseNode, ExitNode, MessageNode, Plan, SplitNode, WaitForNode, WaitNode
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.json import integer_at, text_at

FINISHED = "finished"
"""The exit code of those who reach the end of the journey: they left, but nothing made them leave."""

Column = sa.ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Arriving:
    """The columns that a due instant may depend on."""

    at: Column
    zone: Column
    h31: Column
    wave_id: Column
    contact_id: Column


@dataclass(frozen=True, slots=True)
class Stand:
    """Columns of the new position; `exit_code` is NULL for those who stay under way."""

    node_id: Column
    due_at: Column
    exit_code: Column


def stand_at(ground: Ground, plan: Plan, step_id: str | None, arriving: Arriving) -> Stand:
    """The position of people who arrive at a step now; None is the end."""
    nothing = sa.cast(sa.null(), sa.BigInteger())
    if step_id is None:
        return Stand(nothing, nothing, sa.literal(FINISHED))
    due = _due(ground, plan, step_id, arriving)
    return Stand(sa.literal(ground.applied.nodes[step_id], sa.BigInteger()), due, sa.cast(sa.null(), sa.String()))


def stand_by_branch(
    ground: Ground, plan: Plan, branch: Column, targets: Sequence[tuple[str, str | None]], arriving: Arriving
) -> Stand:
    """The position of people who took one of several branches."""
    stands = [(branch == name, stand_at(ground, plan, target, arriving)) for name, target in targets]

    def pick(part: str) -> Column:
        return sa.case(*((is_taken, getattr(stand, part)) for is_taken, stand in stands))

    return Stand(pick("node_id"), pick("due_at"), pick("exit_code"))


def _due(ground: Ground, plan: Plan, step_id: str, arriving: Arriving) -> Column:
    node = plan.node(step_id)
    match node:
        case MessageNode(test=test) if test is not None and test.send_leader is not None:
            # The rest waits for the leader: no instant yet.
            sample = is_in_sample(
                ground.applied.experiment(step_id), arriving.wave_id, test.send_leader.sample, arriving.h31
            )
            return sa.case((sample, arriving.at))
        case MessageNode(at_best_time=True):
            return best_hour_after(ground, arriving.zone, arriving.at, arriving.contact_id)
        case MessageNode() | WaitForNode() | ChooseNode() | SplitNode() | ActNode() | ExitNode():
            return arriving.at
        case WaitNode(rule=rule):
            return end_of_wait(rule, arriving)
        case _:
            assert_never(node)


def date_of(rule: WaitUntilDate, arriving: Arriving) -> Column:
    """When the contact's own date comes; NULL for those who have none."""
    zone, contact = arriving.zone, t.contact.alias("whose_date")
    seconds, months = rule.offset.seconds, rule.offset.months
    if rule.type == "instant":
        value: Column = (
            contact.c[BUILT_IN[rule.field]] if rule.field in BUILT_IN else integer_at(contact.c.attrs, (rule.field,))
        )
    else:
        value = text_at(contact.c.attrs, (rule.field,))
    own = sa.select(value).where(contact.c.id == arriving.contact_id).correlate_except(contact).scalar_subquery()
    if rule.type == "date" and rule.at is not None:
        if rule.yearly:
            return localtime.anniversary_at(zone, own, arriving.at, rule.at, seconds=seconds, months=months)
        return localtime.date_at(zone, own, rule.at, seconds=seconds, months=months)
    moved = localtime.add_months(zone, own, months) if months else own + seconds * SECOND
    return moved if rule.at is None else localtime.days_at(zone, moved, 0, rule.at)


def end_of_wait(rule: Wait | WaitDays | WaitUntilDay | WaitUntil | WaitUntilDate, arriving: Arriving) -> Column:
    """When each who arrives goes on; where that lies before their arrival they are past it."""
    match rule:
        case Wait(span=span):
            if span.months:
                return localtime.add_months(arriving.zone, arriving.at, span.months)
            return arriving.at + span.seconds * SECOND
        case WaitDays(days=days, at=at):
            return localtime.days_at(arriving.zone, arriving.at, days, at)
        case WaitUntilDay(day=day, at=at, if_past=if_past):
            ahead = localtime.next_weekday_at(arriving.zone, arriving.at, [WEEKDAYS.index(day)], at)
            if if_past == "next":
                return ahead
            today = localtime.days_at(arriving.zone, arriving.at, 0, at)
            is_day = localtime.weekday(localtime.utc_to_local(arriving.zone, arriving.at)) == WEEKDAYS.index(day)
            return sa.case((sa.and_(is_day, today <= arriving.at), today), else_=ahead)
        case WaitUntil(at=local):
            return localtime.at_local(arriving.zone, local)
        case WaitUntilDate():
            # Who has no such date is due at once: they go on or out.
            return sa.func.coalesce(date_of(rule, arriving), arriving.at)
        case _:
            assert_never(rule)

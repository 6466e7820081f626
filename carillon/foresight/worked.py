"""One worked example for each wait of a journey, reckoned by the SQL of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.model import WaitUntilDate
from carillon.journey.ground import Ground
from carillon.journey.stand import Arriving, end_of_wait
from carillon.kernel.clock import Micros
from carillon.plan.model import ActNode, ChooseNode, MessageNode, Plan, SplitNode, WaitForNode, WaitNode
from carillon.store import tables as t
from carillon.store.json import has_at


@dataclass(frozen=True, slots=True)
class WorkedWait:
    """Somebody who comes to a wait, and when they go on."""

    step_id: str
    arrives: Micros
    goes_on: Micros
    timezone: str
    """Whose clock: the contact's where `contact` is one, else the workspace's."""
    contact: str | None = None
    """The shop's id of the contact whose own date is waited for."""


def worked_waits(connection: Connection, ground: Ground, plan: Plan, first: Micros) -> tuple[WorkedWait, ...]:
    """An example for each wait, along the journey of somebody who enters at `first` and is written to at once."""
    arrivals = {plan.first: first}
    found = list[WorkedWait]()
    for node in plan.nodes:
        at = arrivals.get(node.id)
        if at is None:
            continue
        if isinstance(node, WaitNode) and (example := _worked(connection, ground, node, at)) is not None:
            found.append(example)
            at = example.goes_on if example.contact is None else at
        for step_id in _nexts(node):
            arrivals.setdefault(step_id, at)
    return tuple(found)


def _nexts(node: object) -> Iterator[str | None]:
    match node:
        case WaitNode() | MessageNode() | ActNode():
            yield node.next
        case ChooseNode():
            yield from (branch.next for branch in node.branches)
            yield node.otherwise
        case SplitNode():
            yield from (arm.next for arm in node.arms)
        case WaitForNode():
            yield from (outcome.next for outcome in node.outcomes)
            yield node.late


def _worked(connection: Connection, ground: Ground, node: WaitNode, at: Micros) -> WorkedWait | None:
    """None where nobody has the date that is waited for, or the store knows the clock of no zone yet."""
    zone, contact_id, who = ground.rules.timezone, 0, None
    if isinstance(node.rule, WaitUntilDate):
        someone = connection.execute(_someone(node.rule)).first()
        if someone is None:
            return None
        zone, contact_id, who = someone.zone, someone.id, someone.shop_id
    arriving = Arriving(
        at=sa.literal(at, sa.BigInteger()),
        zone=sa.literal(zone),
        h31=sa.literal(0, sa.BigInteger()),
        wave_id=sa.literal(0, sa.BigInteger()),
        contact_id=sa.literal(contact_id, sa.BigInteger()),
    )
    ends: Micros | None = connection.execute(sa.select(end_of_wait(node.rule, arriving))).scalar_one()
    if ends is None:
        return None
    return WorkedWait(node.id, at, max(at, ends), zone, who)


def _someone(rule: WaitUntilDate) -> sa.Select[tuple[int, str, str]]:
    c, s = t.contact.c, t.standing.c
    someone = sa.select(c.id, c.shop_id, s.zone).join_from(t.contact, t.standing, s.contact_id == c.id)
    return someone.where(has_at(c.attrs, (rule.field,)), c.merged_into.is_(None)).order_by(c.id).limit(1)

"""A plan: one campaign compiled to a flat list of nodes, frozen and hashed, as the store keeps it.

Nodes stand in an order in which people only go forward: a branch's nodes behind their fork and before what follows it.
So one pass over the list takes everybody as far as they can go. `next` is a step id, or None: the end of the journey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Literal, assert_never

from carillon.definition.conditions import Condition
from carillon.definition.entries import OnSegment
from carillon.definition.entries import PlanEntry as PlanEntry
from carillon.definition.limits import Budget, Expected
from carillon.definition.model import (
    Attribution,
    EnterCampaign,
    Goal,
    Recipient,
    SetFields,
    Share,
    Target,
    Test,
    Top,
    Unsubscribe,
    Verdict,
    Wait,
    WaitDays,
    WaitUntil,
    WaitUntilDate,
    WaitUntilDay,
    Way,
)
from carillon.kernel.channels import OURS, Channel
from carillon.kernel.durations import Span
from carillon.kernel.time.windows import Window

DEFAULT_VERDICT = Verdict()


@dataclass(frozen=True, slots=True)
class MessageNode:
    """People stand here until their send is decided: handed over, skipped, rejected or unsure."""

    id: str
    next: str | None
    channel: Channel
    message: str
    only_if: Condition | None = None
    test: Test | None = None
    valid_for: Span | None = None
    valid_until: datetime | None = None
    quiet_hours: Window | None = None
    """A limit: no part of the meaning."""
    others: tuple[Way, ...] = ()
    """`first_reachable`: what is sent where this channel does not reach the contact, the first that does."""
    at_best_time: bool = False
    """It falls due at the hour at which the contact answers."""
    to: Recipient | None = None
    """Of `notify`: whom it writes to."""
    coupon: str | None = None
    """The pool of which each person is given a code."""
    behind: tuple[Channel, ...] = ()
    """Never stored: of a way of `first_reachable`, the channels that are asked before it."""
    kind: Literal["message"] = "message"

    @property
    def is_ours(self) -> bool:
        """Whether it goes to one of ours instead of the contact."""
        return self.channel in OURS


@dataclass(frozen=True, slots=True)
class WaitNode:
    id: str
    next: str | None
    rule: Wait | WaitDays | WaitUntilDay | WaitUntil | WaitUntilDate
    kind: Literal["wait"] = "wait"


@dataclass(frozen=True, slots=True)
class PlanBranch:
    name: str
    condition: Condition
    next: str | None


@dataclass(frozen=True, slots=True)
class ChooseNode:
    id: str
    branches: tuple[PlanBranch, ...]
    otherwise: str | None
    kind: Literal["choose"] = "choose"


@dataclass(frozen=True, slots=True)
class WaitForNode:
    """People stand here until the first of the outcomes happens, or until `at_most` after their arrival."""

    id: str
    outcomes: tuple[PlanBranch, ...]
    at_most: Span
    late: str | None
    kind: Literal["wait_for"] = "wait_for"


@dataclass(frozen=True, slots=True)
class PlanArm:
    name: str
    share: Share
    next: str | None


@dataclass(frozen=True, slots=True)
class SplitNode:
    id: str
    arms: tuple[PlanArm, ...]
    kind: Literal["split"] = "split"


@dataclass(frozen=True, slots=True)
class ActNode:
    """What is done to the contact on the way."""

    id: str
    next: str | None
    act: SetFields | Unsubscribe | EnterCampaign
    kind: Literal["act"] = "act"


@dataclass(frozen=True, slots=True)
class ExitNode:
    id: str
    reason: str
    kind: Literal["exit"] = "exit"


PlanNode = MessageNode | WaitNode | WaitForNode | ChooseNode | SplitNode | ActNode | ExitNode


@dataclass(frozen=True, slots=True)
class Plan:
    """What is applied: segments are inlined, references resolved, no word left to look up."""

    campaign: str
    title: str
    topic: str
    marketing: bool
    state: Literal["draft", "live", "ended"]
    entries: tuple[PlanEntry, ...]
    audience: Condition
    """Who is taken in, the campaign's own exclusions already subtracted."""
    nodes: tuple[PlanNode, ...]
    top: Top | None = None
    exit_on: tuple[Condition, ...] = ()
    exits_on_goal: bool = False
    goal: Goal | None = None
    holdout: Share = 0
    """The campaign's own control group."""
    global_holdout: bool = True
    """False: `holdout: {none: …}`, or a transactional topic."""
    verdict: Verdict = DEFAULT_VERDICT
    starts: datetime | None = None
    ends: datetime | None = None
    priority: int = 50
    counts_only: bool = False
    """No cap holds it back, but what it sends is counted."""
    expect: Expected | None = None
    budget: Budget | None = None
    approval_by: tuple[str, ...] = ()
    """Those one of whom must say yes to this meaning before anything is handed over."""
    sender: str | None = None
    attribution: Attribution | None = None
    """None: the workspace's. As `also_measure`, `spend` and `target` it is for reports, and no part of the meaning."""
    also_measure: tuple[Goal, ...] = ()
    spend: Decimal | None = None
    target: Target | None = None
    owner: str | None = None
    series: str | None = None
    """The name under which reports set it beside other campaigns; no part of the meaning."""
    keeps_texts: bool = False
    """`messages: as_entered`: people get the texts that stood when they entered."""
    moves_to_latest: bool = False
    """`on_change: {move: latest}`: people under way go on in this version where it still has their step."""
    was: str | None = None
    step_was: tuple[tuple[str, str], ...] = ()
    """(step id, the id it had before)."""

    @property
    def first(self) -> str | None:
        """The step at which everybody starts."""
        return self.nodes[0].id if self.nodes else None

    def node(self, step_id: str) -> PlanNode:
        """The node of a step; raises KeyError for an id that this plan does not have."""
        return _index(self)[step_id]

    @property
    def messages(self) -> tuple[MessageNode, ...]:
        return tuple(n for n in self.nodes if isinstance(n, MessageNode))

    @property
    def ways(self) -> tuple[MessageNode, ...]:
        """The messages with each of their channels."""
        return tuple(way for n in self.messages for way in ways_of(n))


@cache
def _index(plan: Plan) -> Mapping[str, PlanNode]:
    return {n.id: n for n in plan.nodes}


def following(node: PlanNode) -> list[str | None]:
    """The steps that people may come to from this one."""
    match node:
        case MessageNode() | WaitNode() | ActNode():
            return [node.next]
        case WaitForNode():
            return [*(b.next for b in node.outcomes), node.late]
        case ChooseNode():
            return [*(b.next for b in node.branches), node.otherwise]
        case SplitNode():
            return [arm.next for arm in node.arms]
        case ExitNode():
            return []
        case _:
            assert_never(node)


def conditions_of(plan: Plan) -> Iterator[Condition]:
    """Every condition of the plan: who enters, who gets what, what is waited for, who leaves."""
    yield plan.audience
    yield from (entry.condition for entry in plan.entries if isinstance(entry, OnSegment))
    yield from plan.exit_on
    for node in plan.nodes:
        match node:
            case MessageNode(only_if=only_if) if only_if is not None:
                yield only_if
            case ChooseNode(branches=branches) | WaitForNode(outcomes=branches):
                yield from (branch.condition for branch in branches)
            case _:
                continue


def ways_of(node: MessageNode) -> tuple[MessageNode, ...]:
    """The node as each of its ways, in the order in which they are asked; itself alone where it has one channel."""
    ways = [node]
    for way in node.others:
        before = ways[-1]
        ways.append(
            replace(
                before, channel=way.channel, message=way.message, others=before.others[1:],
                behind=(*before.behind, before.channel),
            )
        )  # fmt: skip
    return tuple(ways)


def arms_of(node: MessageNode) -> tuple[str, ...]:
    """The variants that a message is sent in; one empty name where there is no test."""
    return node.test.variants if node.test else ("",)


def experiment_name(campaign: str, step_id: str) -> str:
    """The name under which a test or split is hashed and registered."""
    return f"{campaign}/{step_id}"

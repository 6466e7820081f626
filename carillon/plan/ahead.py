"""What lies ahead of a step in a plan: where each node leads, and all that can still be met from there."""

from __future__ import annotations

from typing import assert_never

from carillon.plan.model import (
    ActNode,
    ChooseNode,
    ExitNode,
    MessageNode,
    Plan,
    PlanNode,
    SplitNode,
    WaitForNode,
    WaitNode,
)


def following(node: PlanNode) -> tuple[str | None, ...]:
    """The steps that a node can lead to; None is the end."""
    match node:
        case MessageNode() | WaitNode() | ActNode():
            return (node.next,)
        case ChooseNode():
            return (*(b.next for b in node.branches), node.otherwise)
        case WaitForNode():
            return (*(o.next for o in node.outcomes), node.late)
        case SplitNode():
            return tuple(a.next for a in node.arms)
        case ExitNode():
            return ()
        case _:
            assert_never(node)


def ahead(plan: Plan, step_id: str) -> tuple[PlanNode, ...]:
    """The step itself and every node that somebody who stands there may still come to, in the plan's order."""
    met, open_ = set[str](), [step_id]
    while open_:
        here = open_.pop()
        if here not in met:
            met.add(here)
            open_ += [s for s in following(plan.node(here)) if s is not None]
    return tuple(node for node in plan.nodes if node.id in met)

"""What is measured beside the goal (`also_measure`): the same figures for further events. They decide nothing."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from carillon.definition.model import Goal
from carillon.evaluation.collect import collect
from carillon.evaluation.compare import compare
from carillon.evaluation.exposed import HELD, TREATED, of_campaign, of_holdout
from carillon.evaluation.model import Comparison, Metric
from carillon.evaluation.of_campaign import comparable
from carillon.journey.ground import Ground
from carillon.plan.model import MessageNode
from carillon.reports.model import Measured

_ALL = "all"
_BY: tuple[Metric, ...] = ("conversions", "revenue")


def measured(connection: Connection, ground: Ground) -> tuple[Measured, ...]:
    """Every further goal of the live plan, in the order written."""
    goals = ground.applied.plan.also_measure
    return tuple(_measured(connection, ground, goal, 0.05 / (len(goals) * len(_BY))) for goal in goals)


def _measured(connection: Connection, ground: Ground, goal: Goal, alpha: float) -> Measured:
    (everybody,) = collect(connection, of_campaign(ground.applied.id), (_ALL,), [], goal, ground.moment)
    return Measured(
        goal.event, str(goal.within), everybody.conversions, everybody.orders, round(everybody.revenue.sum),
        _against_holdout(connection, ground, goal, alpha),
    )  # fmt: skip


def _against_holdout(connection: Connection, ground: Ground, goal: Goal, alpha: float) -> tuple[Comparison, ...]:
    plan = ground.applied.plan
    from_entry = bool(plan.nodes) and not isinstance(plan.nodes[0], MessageNode)
    exposed = of_holdout(ground.applied.id, from_entry=from_entry)
    held, treated = collect(connection, exposed, (HELD, TREATED), [], comparable(plan, goal), ground.moment)
    if not held.exposed or not treated.exposed:
        return ()
    return tuple(compare(TREATED, treated.moments(by), HELD, held.moments(by), by, alpha=alpha) for by in _BY)

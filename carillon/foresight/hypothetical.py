"""A plan as if it were applied: the ground that `plan` asks the same Selects on, writing nothing."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.journey.approval import gates
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros
from carillon.people.ingest import money_fields
from carillon.plan.applied import Applied, campaigns_by_topic, load_campaign
from carillon.plan.compile import meaning
from carillon.plan.model import Plan
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.engine import Store

NOT_YET = 0
"""The id of a campaign and version that the store does not hold: real ones begin at 1."""


def hypothetical(store: Store, connection: Connection, plan: Plan, rules: Rules, now: Micros) -> Ground:
    """The ground of this plan with the campaign's real nodes and history where there are any.

    Steps that the store does not know get ids below zero, which no send can have.
    """
    known = known_as(connection, plan)
    nodes = dict(known.nodes) if known else {}
    for step_id, was in plan.step_was:
        if was in nodes:
            nodes.setdefault(step_id, nodes[was])
    for number, node in enumerate(plan.nodes, start=1):
        nodes.setdefault(node.id, -number)
    applied = Applied(
        id=known.id if known else NOT_YET,
        name=plan.campaign,
        wanted_state=plan.state,
        operator_state=known.operator_state if known else "running",
        hold_reason=known.hold_reason if known else None,
        first_applied_at=known.first_applied_at if known else now,
        live_version=NOT_YET,
        meaning=meaning(plan),
        planned_audience=None,
        applied_at=now,
        versions={NOT_YET: plan},
        meanings={NOT_YET: meaning(plan)},
        nodes=nodes,
        seed=known.seed if known else plan.campaign,
        experiments=known.experiments if known else {},
    )
    return Ground(
        store, applied, rules, now, campaigns_by_topic(connection), gates(connection, applied), money_fields(connection)
    )


def known_as(connection: Connection, plan: Plan) -> Applied | None:
    """The campaign as it stands in the store, by its name or by the one that it had before."""
    for name in (plan.campaign, plan.was):
        try:
            if name is not None:
                return load_campaign(connection, name)
        except LookupError:
            continue
    return None


def under_way(connection: Connection, campaign_id: int) -> dict[str, int]:
    """Step → people who stand there now, on any version."""
    e, n = t.enrolment.c, t.node.c
    rows = connection.execute(
        sa.select(n.step_id, sa.func.count())
        .join_from(t.enrolment, t.node, n.id == e.node_id)
        .where(e.campaign_id == campaign_id, e.state == "live")
        .group_by(n.step_id)
        .order_by(n.step_id)
    )
    return {step: count for step, count in rows}

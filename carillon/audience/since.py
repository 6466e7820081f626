"""When an enrolment was at a step: the instant from which `since: STEP` counts."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.audience.moment import ConditionError, Expression, Moment, Subject
from carillon.store import tables


def counted_from(since: str, subject: Subject, at: Moment) -> Expression:
    """The instant after which events count: `entry`, or a step's; NULL (so nothing counts) before it was reached."""
    if subject.enrolment is None:
        raise ConditionError(f"since: {since} asks about a journey, and a segment has none")
    if since == "entry":
        return subject.enrolment.c.entered_at
    return subject.reached(since) if subject.reached else reached(since, subject.enrolment, at)


def reached(step: str, enrolment: sa.FromClause, at: Moment) -> Expression:
    """A message: its hand-over (or the decision not to). A fork: its decision. Where people stand now: their arrival."""
    send, batch, passage = tables.send.alias(), tables.batch.alias(), tables.passage.alias()
    handed_over = (
        sa.select(sa.func.coalesce(batch.c.claimed_at, send.c.decided_at, batch.c.decided_at))
        .select_from(send.outerjoin(batch, batch.c.id == send.c.batch_id))
        .where(send.c.node_id == step_node(step, at), send.c.enrolment_id == enrolment.c.id)
        .correlate_except(send, batch)
        .scalar_subquery()
    )
    decided = (
        sa.select(passage.c.at)
        .where(passage.c.node_id == step_node(step, at), passage.c.enrolment_id == enrolment.c.id)
        .correlate_except(passage)
        .scalar_subquery()
    )
    standing = sa.case((enrolment.c.node_id == step_node(step, at), enrolment.c.arrived_at))
    return sa.func.coalesce(handed_over, decided, standing, type_=sa.BigInteger())


def step_node(step: str, at: Moment) -> sa.ScalarSelect[int]:
    """The node of a step of the moment's campaign."""
    node, campaign = tables.node.alias(), tables.campaign.alias()
    return (
        sa.select(node.c.id)
        .select_from(node.join(campaign, campaign.c.id == node.c.campaign_id))
        .where(campaign.c.name == at.campaign, node.c.step_id == step)
        .correlate(None)
        .scalar_subquery()
    )

"""What is asked of people who stand at a message: the step, its limits, and what they cost, as it is now."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Scheduled
from carillon.journey.ground import Ground
from carillon.kernel.channels import Channel
from carillon.messages.content import content_from_json
from carillon.messages.planned_parts import planned_parts
from carillon.plan.model import MessageNode, Plan
from carillon.policy.budgets import Purse, purse_of
from carillon.policy.coupons import pool_of, stock_of
from carillon.policy.decide import Question
from carillon.policy.limits import limits_of
from carillon.store import tables as t


def question_of(connection: Connection, ground: Ground, plan: Plan, node: MessageNode) -> Question:
    """What is asked of people who stand at this message."""
    node_id = ground.applied.nodes[node.id]
    nc = t.node_content.c
    languages = connection.scalars(
        sa.select(nc.language).where(nc.node_id == node_id, nc.channel == str(node.channel)).distinct()
    ).all()
    own_clock = any(isinstance(e, Scheduled) and e.zone == "contact" for e in plan.entries)
    pool = pool_of(ground.applied.plan, node)
    return Question(
        plan, node, node_id, ground.rules, ground.moment, tuple(sorted(languages)),
        None if own_clock else ground.rules.timezone,
        limits_of(connection, ground.rules, ground.applied.plan, plan, node, ground.topics, ground.now),
        _purse(connection, ground, node), None if pool is None else stock_of(connection, pool),
    )  # fmt: skip


def _purse(connection: Connection, ground: Ground, node: MessageNode) -> Purse | None:
    live = ground.applied.plan
    if not live.marketing or node.is_ours or (ground.rules.budget is None and live.budget is None):
        return None
    parts = _parts(connection, ground, node) if node.channel is Channel.SMS else {}
    return purse_of(connection, ground.rules, live.budget, ground.applied.id, str(node.channel), parts, ground.now)


def _parts(connection: Connection, ground: Ground, node: MessageNode) -> dict[str, int]:
    """Language → the most segments that one of its variants is written in."""
    texts = t.edition if ground.applied.plan.keeps_texts else t.node_content
    nc, c = texts.c, t.content.c
    rows = connection.execute(
        sa.select(nc.language, c.compiled)
        .join_from(texts, t.content, c.id == nc.content_id)
        .where(nc.node_id == ground.applied.nodes[node.id], nc.channel == str(Channel.SMS))
    ).all()
    parts: dict[str, int] = {}
    for language, compiled in rows:
        parts[language] = max(
            parts.get(language, 1), planned_parts(content_from_json(compiled), ground.rules.sms_footer)
        )
    return parts

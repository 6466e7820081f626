"""What stands in the store: an applied campaign with every version that people are on, and the house rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.plan.compile import plan_from_json, rules_from_json
from carillon.plan.model import Plan, experiment_name
from carillon.plan.rules import Rules
from carillon.store import tables as t

RULES = "rules"
"""The name in `core.setting` under which the house rules stand."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One campaign as applied. `versions` holds the live plan and each older one that somebody is still under way on, or
    is wanted to be written to once more."""

    id: int
    name: str
    wanted_state: str
    operator_state: str
    hold_reason: str | None
    first_applied_at: Micros
    live_version: int
    meaning: str
    planned_audience: int | None
    applied_at: Micros
    versions: Mapping[int, Plan]
    meanings: Mapping[int, str]
    """Version id → its meaning, by which an approval names it."""
    nodes: Mapping[str, int]
    """Step id → node id, of all versions."""
    seed: str
    """The name that it had first: people are bucketed by it, so that a renamed campaign keeps its arms and holdout."""
    experiments: Mapping[int, str]
    """Node id → the name under which its question was registered."""

    @property
    def plan(self) -> Plan:
        """The plan that new people enter on."""
        return self.versions[self.live_version]

    @property
    def is_running(self) -> bool:
        """Nobody has stopped, paused or held it; an ended campaign still serves those under way."""
        return self.operator_state == "running" and self.hold_reason is None and self.wanted_state != "draft"

    def experiment(self, step_id: str) -> str:
        """The name that a step's test or split is hashed and kept by; a renamed step keeps its first one."""
        return self.experiments.get(self.nodes[step_id]) or experiment_name(self.seed, step_id)


def load_rules(connection: Connection) -> Rules:
    """The house rules last applied; raises LookupError where nothing was ever applied."""
    text = connection.scalar(sa.select(t.setting.c.value).where(t.setting.c.name == RULES))
    if text is None:
        raise LookupError("nothing has been applied to this store yet: run `carillon apply --all`")
    return rules_from_json(text)


def load_campaign(connection: Connection, name: str) -> Applied:
    """The applied campaign of this name; raises LookupError where it was never applied."""
    row = connection.execute(sa.select(t.campaign).where(t.campaign.c.name == name)).one_or_none()
    if row is None or row.live_version is None:
        raise LookupError(f'campaign "{name}" has not been applied: run `carillon apply {name}`')
    versions = connection.execute(
        sa.select(t.version).where(
            t.version.c.campaign_id == row.id, sa.or_(t.version.c.id == row.live_version, _is_wanted(connection, row))
        )
    ).all()
    live = next(v for v in versions if v.id == row.live_version)
    nodes = (
        connection.execute(sa.select(t.node.c.step_id, t.node.c.id).where(t.node.c.campaign_id == row.id))
        .tuples()
        .all()
    )
    registered = (
        connection.execute(
            sa.select(t.experiment.c.node_id, t.experiment.c.name)
            .join_from(t.experiment, t.node, t.node.c.id == t.experiment.c.node_id)
            .where(t.node.c.campaign_id == row.id)
            .order_by(t.experiment.c.registered_at, t.experiment.c.id)  # of several generations the newest
        )
        .tuples()
        .all()
    )
    return Applied(
        id=row.id,
        name=row.name,
        wanted_state=row.wanted_state,
        operator_state=row.operator_state,
        hold_reason=row.hold_reason,
        first_applied_at=row.first_applied_at,
        live_version=row.live_version,
        meaning=live.meaning,
        planned_audience=live.planned_audience,
        applied_at=live.applied_at,
        versions={v.id: plan_from_json(v.plan_json) for v in versions},
        meanings={v.id: v.meaning for v in versions},
        nodes=dict(nodes),
        seed=row.was or row.name,
        experiments=dict(registered),
    )


def _is_wanted(connection: Connection, campaign: sa.Row[Any]) -> sa.ColumnElement[bool]:
    """The older versions that somebody is under way on, or is wanted to be written to once more."""
    e, s, b, v = t.enrolment.c, t.send.c, t.batch.c, t.version.c
    older = sa.select(v.id).where(v.campaign_id == campaign.id, v.id != campaign.live_version)
    if connection.scalar(older.limit(1)) is None:
        return sa.false()  # of all who are under way nobody needs to be looked at
    # One look into the index a step and version. PostgreSQL would make a join of all of an EXISTS, and read all people for
    # the first of whom there may be none; in the index's order it must not.
    n = t.node.c
    here = sa.select(e.id).where(e.node_id == n.id, e.version_id == v.id, e.state == "live").order_by(e.due_at).limit(1)
    somebody = sa.select(n.id).where(
        n.campaign_id == campaign.id, here.correlate(t.node, t.version).scalar_subquery().is_not(None)
    )
    is_under_way = somebody.limit(1).correlate(t.version).scalar_subquery().is_not(None)
    # By the batches, which are few: joined, SQLite would begin with all sends.
    again = sa.select(b.id).where(b.campaign_id == campaign.id, b.state == "unsure", b.resend_at.is_not(None))
    whose = sa.select(s.enrolment_id).where(s.batch_id.in_(again))
    wanted_again = sa.select(e.version_id).where(e.id.in_(whose))
    return sa.or_(sa.and_(v.campaign_id == campaign.id, is_under_way), v.id.in_(wanted_again))


def applied_names(connection: Connection) -> tuple[str, ...]:
    """The names of all applied campaigns, in the order of their names."""
    return tuple(
        connection.scalars(
            sa.select(t.campaign.c.name).where(t.campaign.c.live_version.is_not(None)).order_by(t.campaign.c.name)
        )
    )


def campaigns_by_topic(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Topic → the applied campaigns under it."""
    rows = connection.execute(
        sa.select(t.campaign.c.name, t.version.c.plan_json)
        .join_from(t.campaign, t.version, t.version.c.id == t.campaign.c.live_version)
        .order_by(t.campaign.c.name)
    )
    topics: dict[str, list[str]] = {}
    for name, text in rows:
        topics.setdefault(plan_from_json(text).topic, []).append(name)
    return {topic: tuple(names) for topic, names in topics.items()}


ContentKey = tuple[str, str, str, str]
"""Step id, arm, channel, language."""


def links_applied(connection: Connection, campaign: str) -> dict[ContentKey, str]:
    """The links of the contents now applied, as stored: mails that have left lead by their numbers."""
    nc, c = t.node_content.c, t.content.c
    rows = connection.execute(
        sa.select(t.node.c.step_id, nc.arm, nc.channel, nc.language, c.links)
        .join_from(t.node_content, t.content, c.id == nc.content_id)
        .join(t.node, t.node.c.id == nc.node_id)
        .join(t.campaign, t.campaign.c.id == t.node.c.campaign_id)
        .where(t.campaign.c.name == campaign)
    )
    return {(step, arm, channel, language): links for step, arm, channel, language, links in rows}

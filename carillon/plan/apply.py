"""Making a plan the live one: version, nodes, contents, registrations and audit in one transaction of core."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.plan.applied import RULES
from carillon.plan.compile import meaning, plan_to_json, rules_to_json
from carillon.plan.model import MessageNode, Plan, SplitNode, experiment_name
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.engine import Store


@dataclass(frozen=True, slots=True)
class ContentOf:
    """A compiled message and where it is sent: `compiled` and `links` as `messages` serialises them."""

    step_id: str
    arm: str
    channel: str
    language: str
    hash: str
    compiled: str
    links: str


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """What `apply` did."""

    campaign: str
    version_id: int
    outcome: Literal["new", "new version", "texts", "unchanged"]


def apply_plan(
    store: Store,
    plan: Plan,
    rules: Rules,
    contents: Sequence[ContentOf],
    *,
    planned_audience: int | None,
    by: str,
    at: Micros,
) -> AppliedChange:
    """Write the plan and its contents as the live ones; applying the same again changes nothing but the audit.

    People under way stay on the version that they entered; the newest texts go to everybody.
    """
    with store.write("core") as connection:
        _upsert(connection, t.setting, {"name": RULES}, {"value": rules_to_json(rules)})
        campaign_id, is_new = _campaign(connection, plan, at)
        version_id, is_new_version = _version(connection, campaign_id, plan, planned_audience, by, at)
        nodes = _nodes(connection, campaign_id, plan)
        changed = _contents(connection, nodes, contents, at)
        _register(connection, nodes, plan, at)
        before = connection.scalar(sa.select(t.campaign.c.live_version).where(t.campaign.c.id == campaign_id))
        connection.execute(
            t.campaign.update()
            .where(t.campaign.c.id == campaign_id)
            .values(live_version=version_id, wanted_state=plan.state, was=plan.was)
        )
        outcome: Literal["new", "new version", "texts", "unchanged"] = (
            "new"
            if is_new or before is None
            else "new version"
            if is_new_version or before != version_id
            else "texts"
            if changed
            else "unchanged"
        )
        connection.execute(t.audit.insert().values(at=at, who=by, what="apply", subject=plan.campaign, details=outcome))
    return AppliedChange(plan.campaign, version_id, outcome)


def _campaign(connection: Connection, plan: Plan, at: Micros) -> tuple[int, bool]:
    """The campaign's id and whether it is new; `was` carries the row, and with it the whole history, to the new name."""
    for name in (plan.campaign, plan.was):
        found = connection.scalar(sa.select(t.campaign.c.id).where(t.campaign.c.name == name))
        if found is not None:
            connection.execute(t.campaign.update().where(t.campaign.c.id == found).values(name=plan.campaign))
            return found, False
    made = connection.execute(
        t.campaign.insert().values(name=plan.campaign, wanted_state=plan.state, first_applied_at=at)
    )
    return _new_id(made), True


def _version(
    connection: Connection, campaign_id: int, plan: Plan, planned: int | None, by: str, at: Micros
) -> tuple[int, bool]:
    v = t.version.c
    what = {"plan_json": plan_to_json(plan), "planned_audience": planned, "applied_at": at, "applied_by": by}
    hashed = meaning(plan)
    found = connection.scalar(sa.select(v.id).where(v.campaign_id == campaign_id, v.meaning == hashed))
    if found is not None:
        connection.execute(t.version.update().where(v.id == found).values(**what))
        return found, False
    return _new_id(connection.execute(t.version.insert().values(campaign_id=campaign_id, meaning=hashed, **what))), True


def _nodes(connection: Connection, campaign_id: int, plan: Plan) -> dict[str, int]:
    known: dict[str, int] = {
        step: node
        for step, node in connection.execute(
            sa.select(t.node.c.step_id, t.node.c.id).where(t.node.c.campaign_id == campaign_id)
        )
    }
    for step_id, was in plan.step_was:
        if was in known and step_id not in known:
            known[step_id] = known.pop(was)
            connection.execute(t.node.update().where(t.node.c.id == known[step_id]).values(step_id=step_id))
    for node in plan.nodes:
        if node.id not in known:
            known[node.id] = _new_id(
                connection.execute(t.node.insert().values(campaign_id=campaign_id, step_id=node.id, kind=node.kind))
            )
    return known


def _contents(connection: Connection, nodes: dict[str, int], contents: Sequence[ContentOf], at: Micros) -> bool:
    changed = False
    for content in contents:
        content_id = connection.scalar(sa.select(t.content.c.id).where(t.content.c.hash == content.hash))
        if content_id is None:
            content_id = _new_id(
                connection.execute(
                    t.content.insert().values(hash=content.hash, compiled=content.compiled, links=content.links)
                )
            )
        key = {
            "node_id": nodes[content.step_id],
            "arm": content.arm,
            "channel": content.channel,
            "language": content.language,
        }
        now = connection.scalar(
            sa.select(t.node_content.c.content_id).where(*(t.node_content.c[k] == v for k, v in key.items()))
        )
        if now != content_id:
            changed = True
            _upsert(connection, t.node_content, key, {"content_id": content_id, "applied_at": at})
    return changed


def _register(connection: Connection, nodes: dict[str, int], plan: Plan, at: Micros) -> None:
    """Write each question down before its first send: what was asked cannot be chosen after the answer is seen."""
    looks = json.dumps([[look.seconds, look.months] for look in plan.verdict.looks])
    for node in plan.nodes:
        if isinstance(node, MessageNode) and node.test:
            arms = list(node.test.variants)
        elif isinstance(node, SplitNode):
            arms = [arm.name for arm in node.arms]
        else:
            continue
        name = experiment_name(plan.campaign, node.id)
        known = connection.scalar(sa.select(t.experiment.c.id).where(t.experiment.c.name == name))
        if known is None:
            connection.execute(
                t.experiment.insert().values(
                    name=name, node_id=nodes[node.id], metric=plan.verdict.by, arms=json.dumps(arms), looks=looks,
                    registered_at=at,
                )
            )  # fmt: skip


def _upsert(connection: Connection, table: sa.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    insert = pg_insert if connection.dialect.name == "postgresql" else sqlite_insert
    connection.execute(
        insert(table).values(**key, **values).on_conflict_do_update(index_elements=list(key), set_=values)
    )


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])

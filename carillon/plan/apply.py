"""Making a plan the live one: version, nodes, contents, registrations and audit in one transaction of core."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.plan.applied import RULES
from carillon.plan.compile import meaning, plan_from_json, plan_to_json, rules_to_json
from carillon.plan.generations import generations_of, next_name
from carillon.plan.model import MessageNode, Plan, SplitNode, experiment_name
from carillon.plan.operate import first_operator_state
from carillon.plan.renames import with_steps_renamed
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.writing import put_row


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
    anew: Collection[str] = (),
) -> AppliedChange:
    """Write the plan and its contents as the live ones; applying the same again changes nothing but the audit.

    People under way stay on the version that they entered; the newest texts go to everybody. `anew` are the steps whose
    test begins anew, because its words have changed.
    """
    with store.write("core") as connection:
        put_row(connection, t.setting, {"name": RULES}, {"value": rules_to_json(rules)})
        campaign_id, is_new = _campaign(connection, plan, at)
        version_id, is_new_version = _version(connection, campaign_id, plan, planned_audience, by, at)
        nodes = _nodes(connection, campaign_id, plan)
        changed = _contents(connection, nodes, contents, at)
        _register(connection, nodes, plan, anew, at)
        before = connection.scalar(sa.select(t.campaign.c.live_version).where(t.campaign.c.id == campaign_id))
        connection.execute(
            t.campaign.update()
            .where(t.campaign.c.id == campaign_id)
            .values(live_version=version_id, wanted_state=plan.state)
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
    c = t.campaign.c
    for name in (plan.campaign, plan.was):
        found = connection.scalar(sa.select(c.id).where(c.name == name))
        if found is not None:
            first = sa.func.coalesce(c.was, c.name)
            connection.execute(
                t.campaign.update().where(c.id == found, c.name != plan.campaign).values(name=plan.campaign, was=first)
            )
            return found, False
    made = connection.execute(
        t.campaign.insert().values(
            name=plan.campaign, wanted_state=plan.state, first_applied_at=at,
            operator_state=first_operator_state(connection),
        )
    )  # fmt: skip
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
    renames = {was: step_id for step_id, was in plan.step_was if was in known and step_id not in known}
    for was, step_id in renames.items():
        known[step_id] = known.pop(was)
        connection.execute(t.node.update().where(t.node.c.id == known[step_id]).values(step_id=step_id))
    if renames:
        _rename_in_older(connection, campaign_id, renames)
    for node in plan.nodes:
        if node.id not in known:
            known[node.id] = _new_id(
                connection.execute(t.node.insert().values(campaign_id=campaign_id, step_id=node.id, kind=node.kind))
            )
    return known


def _rename_in_older(connection: Connection, campaign_id: int, renames: dict[str, str]) -> None:
    """Stored versions speak today's names: people under way on one are found where they stand."""
    v = t.version.c
    meaningful = connection.execute(sa.select(v.id, v.plan_json).where(v.campaign_id == campaign_id)).all()
    for version_id, text in meaningful:
        older = plan_to_json(with_steps_renamed(plan_from_json(text), renames))
        connection.execute(t.version.update().where(v.id == version_id).values(plan_json=older))


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
            put_row(connection, t.node_content, key, {"content_id": content_id, "applied_at": at})
            put_row(connection, t.edition, key | {"applied_at": at}, {"content_id": content_id})
    return changed


def _register(connection: Connection, nodes: dict[str, int], plan: Plan, anew: Collection[str], at: Micros) -> None:
    """Write each question down before its first send: what was asked cannot be chosen after the answer is seen."""
    looks = json.dumps([[look.seconds, look.months] for look in plan.verdict.looks])
    for node in plan.nodes:
        if isinstance(node, MessageNode) and node.test:
            arms = list(node.test.variants)
        elif isinstance(node, SplitNode):
            arms = [arm.name for arm in node.arms]
        else:
            continue
        x, node_id = t.experiment.c, nodes[node.id]
        name = experiment_name(plan.campaign, node.id)
        known = generations_of(connection, node_id)
        if not known or node.id in anew:
            name = next_name(known[0].name, known) if known else name
            if connection.scalar(sa.select(x.id).where(x.name == name)) is not None:
                name = f"{name}#{node_id}"  # a step that was renamed meanwhile keeps this name for its own question
            connection.execute(
                t.experiment.insert().values(
                    name=name, node_id=node_id, metric=plan.verdict.by, arms=json.dumps(arms), looks=looks,
                    registered_at=at,
                )
            )  # fmt: skip


def _new_id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])

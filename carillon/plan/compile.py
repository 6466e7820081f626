"""Definition → plan: segments inlined, the journey laid flat, the meaning hashed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import cache, lru_cache
from typing import Any, assert_never

from pydantic import TypeAdapter

from carillon.definition.conditions import All, AnyOf, Condition, InSegment, Not
from carillon.definition.confirming import asking_topics, topic_of
from carillon.definition.entries import LaterEntry, OnSegment
from carillon.definition.model import (
    Act,
    Campaign,
    Choose,
    Exit,
    LaterStep,
    Segment,
    Send,
    Split,
    Step,
    Wait,
    WaitDays,
    WaitFor,
    WaitUntil,
    WaitUntilDate,
    WaitUntilDay,
    Workspace,
    walk,
)
from carillon.kernel.channels import Channel
from carillon.plan.model import (
    ActNode,
    ChooseNode,
    ExitNode,
    MessageNode,
    Plan,
    PlanArm,
    PlanBranch,
    PlanEntry,
    PlanNode,
    SplitNode,
    WaitForNode,
    WaitNode,
)
from carillon.plan.rules import Rules, SenderRule, TopicRule, UnsurePolicy


def compile_plan(campaign: Campaign, segments: Mapping[str, Segment], workspace: Workspace) -> Plan:
    """The plan of a campaign that `check` has passed; raises ValueError for a word whose engine is not there yet."""
    entries: list[PlanEntry] = []
    for entry in campaign.entries:
        if isinstance(entry, LaterEntry):
            raise ValueError(f"{campaign.name}: the entry `{entry.word}` is not available yet")
        if isinstance(entry, OnSegment):
            entry = dataclasses.replace(entry, condition=inline_segments(InSegment(entry.segment), segments))
        entries.append(entry)
    marketing = topic_of(workspace, campaign.topic).kind == "marketing"
    audience = campaign.audience
    who = [audience.condition, *(Not(c) for c in audience.exclude)]
    return Plan(
        campaign=campaign.name,
        title=campaign.title or campaign.name,
        topic=campaign.topic,
        marketing=marketing,
        state=campaign.state,
        entries=tuple(entries),
        audience=inline_segments(All(tuple(who)) if len(who) > 1 else who[0], segments),
        top=audience.top,
        nodes=tuple(_flatten(campaign.journey, None, segments)),
        exit_on=tuple(inline_segments(c, segments) for c in campaign.exit_on),
        exits_on_goal=campaign.exits_on_goal,
        goal=campaign.goal,
        holdout=(campaign.holdout or 0) if marketing else 0,
        global_holdout=marketing and campaign.holdout_none is None,
        verdict=campaign.verdict,
        starts=campaign.starts,
        ends=campaign.ends,
        priority=campaign.priority,
        counts_only=campaign.counts_only and marketing,
        expect=campaign.expect,
        budget=campaign.budget,
        approval_by=campaign.approval_by,
        sender=campaign.sender,
        attribution=campaign.attribution,
        also_measure=campaign.also_measure,
        spend=campaign.spend,
        target=campaign.target,
        owner=campaign.owner,
        series=campaign.series,
        keeps_texts=campaign.keeps_texts,
        moves_to_latest=campaign.moves_to_latest,
        was=campaign.was,
        step_was=tuple((s.id, s.was) for s in walk(campaign.journey) if s.was),
    )


def compile_rules(workspace: Workspace, segments: Mapping[str, Segment]) -> Rules:
    """The house rules of a workspace, segments inlined."""

    def unsure(kind: Any) -> UnsurePolicy:
        policy = workspace.if_unsure.get(kind)
        if policy is None or policy.action == "hold":
            return UnsurePolicy()
        return UnsurePolicy("resend_after" if policy.after else "resend", policy.after)

    return Rules(
        name=workspace.name,
        timezone=workspace.timezone,
        currency=workspace.currency,
        address=workspace.address,
        public_url=workspace.public_url.rstrip("/"),
        languages=tuple(workspace.languages),
        country_language={c: language for language, countries in workspace.languages.items() for c in countries},
        topics={
            t.name: TopicRule(
                t.name,
                t.kind == "marketing",
                dict(t.titles),
                {str(c): k for c, k in t.consent.items()},
                t.sender,
                t.asks_for,
            )
            for t in (*workspace.topics.values(), *asking_topics(workspace))
        },
        senders=tuple(
            SenderRule(
                s.name,
                str(s.channel),
                connector_id(s.connector, s.channel),
                s.address,
                s.display_name,
                s.reply_to,
                s.messaging_service,
                s.url,
                s.fields,
            )
            for named in workspace.senders.values()
            for s in named.values()
        ),
        exclude=inline_segments(AnyOf(workspace.exclude), segments) if workspace.exclude else None,
        holdout=workspace.holdout,
        costs={
            str(channel): {"": float(c.default), **{k: float(v) for k, v in c.by_country.items()}}
            for channel, c in workspace.costs.items()
        },
        margin=None if workspace.margin is None else workspace.margin / 10_000,
        rates=workspace.rates,
        attribution=workspace.attribution,
        if_unsure_marketing=unsure("marketing"),
        if_unsure_transactional=unsure("transactional"),
        limits=workspace.limits,
        budget=workspace.budget,
        coupons=workspace.coupons,
        footer=workspace.footer,
        sms_footer=workspace.sms_footer,
        allow_list={str(channel): addresses for channel, addresses in workspace.allow_list.items()},
    )


def connector_id(word: str, channel: Channel) -> str:
    """The connector's name in the store. `sandbox` is one word for a double of each provider: its channel tells which."""
    return f"{word}.{channel}" if word == "sandbox" else word


def inline_segments(condition: Condition, segments: Mapping[str, Segment], _path: tuple[str, ...] = ()) -> Condition:
    """The condition with every segment's own in its place; raises ValueError for a cycle, KeyError for no such segment."""
    match condition:
        case InSegment(name):
            if name in _path:
                raise ValueError(f"segments in a circle: {' → '.join((*_path, name))}")
            return inline_segments(segments[name].who, segments, (*_path, name))
        case All(parts):
            return All(tuple(inline_segments(p, segments, _path) for p in parts))
        case AnyOf(parts):
            return AnyOf(tuple(inline_segments(p, segments, _path) for p in parts))
        case Not(part):
            return Not(inline_segments(part, segments, _path))
        case _:
            return condition


def meaning(plan: Plan) -> str:
    """The hash of what the campaign *means*: audience, entries, steps, waits, tests, goal, exits, holdout; no limits.

    Values equal to their default do not enter it, so a newer Carillon with more words gives old plans the same hash.
    """
    what = {
        "audience": canonical(plan.audience),
        "entries": canonical(plan.entries),
        "nodes": canonical([_without_limits(node) for node in plan.nodes]),
        "exit_on": canonical(plan.exit_on),
        "exits_on_goal": plan.exits_on_goal,
        "goal": canonical(plan.goal),
        "holdout": [plan.holdout, plan.global_holdout],
        "verdict": canonical(plan.verdict),
        "topic": plan.topic,
    }
    if plan.top is not None:
        what["top"] = canonical(plan.top)
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"carillon-mean-v1").hexdigest()


def _without_limits(node: PlanNode) -> PlanNode:
    return dataclasses.replace(node, quiet_hours=None) if isinstance(node, MessageNode) else node


def canonical(value: Any) -> Any:
    """The value as JSON-able plain parts in one form only; fields equal to their default are left out, `kind` never."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out = {}
        for f in dataclasses.fields(value):
            part = getattr(value, f.name)
            if not f.compare:
                continue
            if f.name == "kind" or part != _default(f):
                out[f.name] = canonical(part)
        return out
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return value


def _default(f: dataclasses.Field[Any]) -> Any:
    if f.default is not dataclasses.MISSING:
        return f.default
    return f.default_factory() if f.default_factory is not dataclasses.MISSING else dataclasses.MISSING


def _flatten(steps: Iterable[Step], after: str | None, segments: Mapping[str, Segment]) -> list[PlanNode]:
    """The nodes of one sequence whose last step goes on to `after`, forks before their branches."""
    steps = list(steps)
    nodes: list[PlanNode] = []
    for i, step in enumerate(steps):
        following = steps[i + 1].id if i + 1 < len(steps) else after
        nodes += _node(step, following, segments)
    return nodes


def _node(step: Step, following: str | None, segments: Mapping[str, Segment]) -> list[PlanNode]:
    match step:
        case Send():
            only_if = inline_segments(step.only_if, segments) if step.only_if else None
            return [
                MessageNode(
                    step.id,
                    following,
                    step.channel,
                    step.message,
                    only_if,
                    step.test,
                    step.valid_for,
                    step.valid_until,
                    step.quiet_hours,
                    step.others,
                    step.at_best_time,
                    step.to,
                    step.coupon,
                )
            ]
        case Wait() | WaitDays() | WaitUntilDay() | WaitUntil() | WaitUntilDate():
            return [WaitNode(step.id, following, step)]
        case Act():
            return [ActNode(step.id, following, step.act)]
        case Exit():
            return [ExitNode(step.id, step.reason)]
        case Choose():
            inside = [_flatten(b.steps, following, segments) for b in step.branches]
            otherwise = _flatten(step.otherwise, following, segments)
            branches = tuple(
                PlanBranch(b.name, inline_segments(b.condition, segments), _start(nodes, following))
                for b, nodes in zip(step.branches, inside, strict=True)
            )
            fork = ChooseNode(step.id, _told_apart(branches), _start(otherwise, following))
            return [fork, *(n for nodes in inside for n in nodes), *otherwise]
        case WaitFor():
            inside = [_flatten(b.steps, following, segments) for b in step.outcomes]
            late = _flatten(step.late, following, segments)
            outcomes = tuple(
                PlanBranch(b.name, inline_segments(b.condition, segments), _start(nodes, following))
                for b, nodes in zip(step.outcomes, inside, strict=True)
            )
            waiting = WaitForNode(step.id, _told_apart(outcomes), step.at_most, _start(late, following))
            return [waiting, *(n for nodes in inside for n in nodes), *late]
        case Split():
            inside = [_flatten(a.steps, following, segments) for a in step.arms]
            arms = tuple(
                PlanArm(a.name, a.share, _start(nodes, following)) for a, nodes in zip(step.arms, inside, strict=True)
            )
            return [SplitNode(step.id, arms), *(n for nodes in inside for n in nodes)]
        case LaterStep():
            raise ValueError(f"{step.id}: the step `{step.word}` is not available yet")
        case _:
            assert_never(step)


def _told_apart(branches: tuple[PlanBranch, ...]) -> tuple[PlanBranch, ...]:
    """Branches about the same thing are numbered from the second on: a person's branch is known by its name."""
    seen = Counter[str]()
    named = []
    for branch in branches:
        seen[branch.name] += 1
        number = seen[branch.name]
        named.append(branch if number == 1 else dataclasses.replace(branch, name=f"{branch.name}.{number}"))
    return tuple(named)


def _start(nodes: list[PlanNode], following: str | None) -> str | None:
    return nodes[0].id if nodes else following


@cache
def _plan_adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


@cache
def _rules_adapter() -> TypeAdapter[Rules]:
    return TypeAdapter(Rules)


def plan_to_json(plan: Plan) -> str:
    """As the store keeps it."""
    return _plan_adapter().dump_json(plan).decode()


@lru_cache(maxsize=128)  # a run loads its campaign before each stage, and a version never changes
def plan_from_json(text: str) -> Plan:
    """What `plan_to_json` wrote; raises ValueError for anything else."""
    return _plan_adapter().validate_json(text)


def rules_to_json(rules: Rules) -> str:
    """As the store keeps them."""
    return _rules_adapter().dump_json(rules).decode()


@lru_cache(maxsize=16)
def rules_from_json(text: str) -> Rules:
    """What `rules_to_json` wrote; raises ValueError for anything else."""
    return _rules_adapter().validate_json(text)

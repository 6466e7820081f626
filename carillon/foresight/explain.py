"""Why a contact got something from a campaign, or nothing: the Selects of the stages, asked of one person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import Moment, Subject
from carillon.audience.reference import Trace
from carillon.audience.values import say_found
from carillon.audience.words import say
from carillon.definition.conditions import All, AnyOf, Condition, ContactIs, HasEvent, Not
from carillon.delivery.question import question_of
from carillon.experiment.holdout import GLOBAL, campaign_holdout, role_for
from carillon.foresight.explain_chances import Chance, chances
from carillon.foresight.explain_entry import explain_entry
from carillon.foresight.explain_ways import Way, ways_of_contact
from carillon.foresight.outlook import as_enrolled
from carillon.foresight.screen import entry_sentence
from carillon.journey.awaited import awaited
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros, from_micros
from carillon.kernel.ids import bucket
from carillon.policy.decide import decisions
from carillon.policy.words import WAITS
from carillon.store import tables as t

WOULD_GET_IT = "would get it"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Where a share of buckets puts the contact."""

    experiment: str
    bucket: int
    share: int

    @property
    def is_held(self) -> bool:
        return self.bucket < self.share


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything that is known about one contact in one campaign."""

    contact: str
    campaign: str
    at: Micros
    audience: Trace
    role: str
    draws: tuple[Drawn, ...]
    ways: tuple[Way, ...]
    entries: tuple[tuple[str, str], ...]
    """(entry, whether it would take the contact in now, and why not)."""
    messages: tuple[tuple[str, str], ...]
    """(message step, what would be decided if it were due now)."""
    clock: str = ""
    """Whose clock its instants follow, and what told it."""
    chances: tuple[Chance, ...] = ()
    """What could have taken the contact in, and why it did not."""
    waits: tuple[str, ...] = ()
    """What keeps everything from leaving for now: a pause, a brake, a person's yes."""


def explain(connection: Connection, ground: Ground, shop_id: str) -> Explained:
    """Everything about a contact, by the shop's id; raises LookupError for one that is not known."""
    contact = connection.execute(sa.select(t.contact).where(t.contact.c.shop_id == shop_id)).one_or_none()
    if contact is None:
        raise LookupError(f'no contact "{shop_id}" is known')
    plan, applied = ground.applied.plan, ground.applied
    global_share = ground.rules.holdout if plan.global_holdout else 0
    ways = tuple(ways_of_contact(connection, ground, contact.id))
    under_way = next((w for w in ways if w.stands_at), None)
    entries = tuple((entry_sentence(e), explain_entry(connection, ground, e, contact.id)) for e in plan.entries)
    messages = _messages(connection, ground, contact.id, under_way)
    if under_way is None:
        may_enter = any(not answer.startswith("no") for _, answer in entries)
        messages = _after_what_they_had(messages, had_before(connection, ground, contact.id), may_enter)
    return Explained(
        contact=shop_id,
        campaign=applied.name,
        at=ground.now,
        audience=condition_of(connection, plan.audience, contact, ground.moment),
        role=role_for(applied.seed, plan, ground.rules.holdout, contact.h31),
        draws=(
            Drawn(GLOBAL, bucket(GLOBAL, contact.h31), global_share),
            Drawn(campaign_holdout(applied.seed), bucket(campaign_holdout(applied.seed), contact.h31), plan.holdout),
        ),
        ways=ways,
        entries=entries,
        messages=tuple(messages),
        clock=_clock_of(connection, contact),
        chances=tuple(chances(connection, ground, contact.id)),
        waits=tuple(_waits(connection, ground, under_way)),
    )


def _clock_of(connection: Connection, contact: sa.Row[Any]) -> str:
    zone = connection.scalar(sa.select(t.standing.c.zone).where(t.standing.c.contact_id == contact.id))
    return f"{zone}, by {_TOLD_BY.get(contact.zone_source, contact.zone_source)}"


_TOLD_BY = {
    "contact": "what they said", "phone": "their phone's country", "country": "their country",
    "workspace": "the workspace's",
}  # fmt: skip


def _waits(connection: Connection, ground: Ground, under_way: Way | None) -> Iterator[str]:
    applied = ground.applied
    if applied.operator_state != "running":
        yield f"the campaign is {applied.operator_state}"
    if applied.hold_reason is not None:
        yield f"the campaign is held: {applied.hold_reason}"
    e = t.enrolment.c
    version = applied.live_version if under_way is None else under_way.version
    passed = None if under_way is None else sa.select(e.id).where(e.id == under_way.id, ground.gate(version))
    has_yes = version not in ground.gates or (passed is not None and connection.scalar(passed) is not None)
    if not has_yes:
        meaning = applied.meanings[version]
        yield from (one.sentence for one in awaited(connection, ground) if one.meaning == meaning)


# ------------------------------------------------------------------------------------------------------ the condition


def condition_of(connection: Connection, condition: Condition, contact: sa.Row[Any], moment: Moment) -> Trace:
    """The condition part by part; each answer is the one that the store gives to the run."""
    parts = list(_parts(condition))
    subject = Subject(t.contact.c.id, contact=t.contact, few=True)
    asked = [where(c, subject, moment) for part in parts for c in (part, Not(part))]
    row = connection.execute(
        sa.select(*(question.label(f"q{i}") for i, question in enumerate(asked))).where(t.contact.c.id == contact.id)
    ).one()
    answers = {id(part): _answer(row[2 * i], row[2 * i + 1]) for i, part in enumerate(parts)}
    return _trace(connection, condition, contact, answers)


def _parts(condition: Condition) -> Iterator[Condition]:
    yield condition
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _parts(part)
        case Not(part):
            yield from _parts(part)
        case _:
            pass


def _answer(holds: Any, holds_not: Any) -> bool | None:
    return True if holds else False if holds_not else None


def _trace(
    connection: Connection, condition: Condition, contact: sa.Row[Any], answers: Mapping[int, bool | None]
) -> Trace:
    inner: tuple[Condition, ...] = ()
    match condition:
        case All(parts) | AnyOf(parts):
            inner = parts
        case Not(part):
            inner = (part,)
        case _:
            pass
    traced = tuple(_trace(connection, part, contact, answers) for part in inner)
    found = "" if inner else _found(connection, condition, contact)
    return Trace(say(condition), answers[id(condition)], found, traced)


def _found(connection: Connection, condition: Condition, contact: sa.Row[Any]) -> str:
    """What the store holds about it, where one look tells."""
    if isinstance(condition, ContactIs):
        own = {
            "id": contact.shop_id, "email": contact.email_key, "phone": contact.phone_key, "country": contact.country,
            "language": contact.language, "timezone": contact.zone, "created_at": from_micros(contact.created_at),
        }  # fmt: skip
        return say_found(condition.tests, {**contact.attrs, **own})
    if isinstance(condition, HasEvent):
        s = t.contact_stat.c
        stat = connection.execute(
            sa.select(s.n, s.last_at).where(s.kind == condition.event, s.contact_id == contact.id)
        ).one_or_none()
        return f"{stat.n:,} ever, the last {from_micros(stat.last_at):%Y-%m-%d}" if stat else "none ever"
    return ""


# ------------------------------------------------------------------------------------------------------- the messages


def _messages(
    connection: Connection, ground: Ground, contact_id: int, under_way: Way | None
) -> Iterator[tuple[str, str]]:
    """What the policy says of each message if it were due now; of a person under way, of those still ahead."""
    plan = ground.applied.plan if under_way is None else ground.applied.versions[under_way.version]
    behind = {h.step for h in under_way.happenings} if under_way else set[str]()
    for node in plan.ways:
        if node.id in behind:
            continue
        if under_way is None:
            person = as_enrolled(ground, plan, _as_candidate(ground, contact_id).subquery("person"))
        else:
            person = _as_due(ground, under_way.id, ground.applied.nodes[node.id])
        decided = decisions(question_of(connection, ground, plan, node), person).subquery("decided")
        row = connection.execute(sa.select(decided.c.reason)).one_or_none()
        if row is None and (node.others or node.behind):
            continue  # of `first_reachable` another channel is theirs
        reason = row.reason if row else None
        told = f"later ({reason})" if reason in WAITS else reason or WOULD_GET_IT
        yield node.id, f"{told} by {node.channel}" if node.others or node.behind else told


def had_before(connection: Connection, ground: Ground, contact_id: int) -> dict[str, str]:
    """Step → when the contact had it last, or may have had it, as a phrase."""
    s, b, n = t.send.c, t.batch.c, t.node.c
    rows = connection.execute(
        sa.select(n.step_id, b.state, b.claimed_at)
        .join_from(t.send, t.batch, b.id == s.batch_id)
        .join(t.node, n.id == s.node_id)
        .where(s.contact_id == contact_id, n.campaign_id == ground.applied.id)
        .where(s.outcome.is_(None), b.state.in_(("accepted", "unsure")), b.claimed_at.is_not(None))
        .order_by(b.claimed_at, s.enrolment_id)
    )
    had = {"accepted": "already had it", "unsure": "may have had it already (unsure)"}
    return {step: f"{had[state]}, {from_micros(at):%Y-%m-%d %H:%M} UTC" for step, state, at in rows}


def _after_what_they_had(
    messages: Iterable[tuple[str, str]], had: Mapping[str, str], may_enter: bool
) -> Iterator[tuple[str, str]]:
    """Who cannot enter again is told what they had; who can, also what would be decided the next time."""
    for step, told in messages:
        if step not in had:
            yield step, told
        else:
            yield step, f"{had[step]}; the next time: {told}" if may_enter else had[step]


def _as_due(ground: Ground, enrolment_id: int, node_id: int) -> sa.Subquery:
    """An enrolment as if it were due at the message now; who stands there already has arrived before."""
    now, e = sa.literal(ground.now, sa.BigInteger()), t.enrolment.c
    new = {"due_at": now, "arrived_at": sa.case((e.node_id == node_id, e.arrived_at), else_=now)}
    columns = (new[c.name].label(c.name) if c.name in new else c for c in e)
    return sa.select(*columns).where(t.enrolment.c.id == enrolment_id).subquery("due")


def _as_candidate(ground: Ground, contact_id: int) -> sa.Select[Any]:
    """One contact as a candidate, whether the audience holds or not."""
    nothing = sa.cast(sa.null(), sa.BigInteger())
    return (
        sa.select(
            t.contact.c.id.label("contact_id"),
            sa.literal(ground.now, sa.BigInteger()).label("arrived_at"),
            sa.literal("").label("thing"),
            nothing.label("trigger_at"),
            nothing.label("trigger_hash"),
            t.standing.c.zone.label("zone"),
            t.standing.c.h31.label("h31"),
        )
        .join_from(t.contact, t.standing, t.standing.c.contact_id == t.contact.c.id)
        .where(t.contact.c.id == contact_id)
    )

"""Unsure batches: what is known of each, and the decisions about them, by the workspace's policy or by a person.

Nothing is ever sent again without a written decision: a resend is an attempt row that says who wanted it and why. It is
a wish (`resend_at`): the next reserve pass asks who of the batch may have the message now (`delivery/resend`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.evidence import IS_OPEN, settle_by_evidence, write_decision
from carillon.delivery.parting import RESEND, open_people
from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.counting import counted
from carillon.plan.compile import plan_from_json
from carillon.plan.model import Plan
from carillon.plan.rules import Rules, UnsurePolicy
from carillon.store.engine import Store
from carillon.store.tables import attempt, audit, batch, campaign, event, node, send, version

Decision = Literal["accept", "resend", "close"]

WANTED_AGAIN = "wanted once more"

FROM_BACKUP = "restored from a backup: it may have left since"
"""The note of a batch that only a report or a person settles: no policy was meant for doubts as large as this one."""

_STATE: Mapping[Decision, str] = {"accept": "accepted", "close": "closed"}


@dataclass(frozen=True, slots=True)
class UnsureBatch:
    """One hand-over whose outcome is unknown, as a person needs it to decide."""

    id: int
    campaign: str
    step: str
    connector: str
    people: int
    since: Micros
    reason: str
    reports_of_others: bool
    """Reports about other sends came in after this hand-over: silence about this one means something."""
    resend_at: Micros | None = None
    """It is wanted once more (`reason` says by whom and why), and its people are asked then."""


def unsure_batches(connection: Connection, campaign_name: str | None = None) -> list[UnsureBatch]:
    """All unsure batches, oldest first."""
    mine = [] if campaign_name is None else [campaign.c.name == campaign_name]
    rows = connection.execute(
        sa.select(
            batch.c.id, campaign.c.name, node.c.step_id, batch.c.connector, _n_open(), batch.c.settled_at,
            batch.c.note, _others_flow(), batch.c.resend_at,
        )
        .join_from(batch, campaign, campaign.c.id == batch.c.campaign_id)
        .join(node, node.c.id == batch.c.node_id)
        .where(batch.c.state == "unsure", *mine)
        .order_by(batch.c.settled_at, batch.c.id)
    )  # fmt: skip
    return [
        UnsureBatch(id_, name, step, connector, people, since or 0, note or "", bool(flows), resend_at)
        for id_, name, step, connector, people, since, note, flows, resend_at in rows
    ]


def _n_open() -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .where(send.c.batch_id == batch.c.id, send.c.outcome.is_(None))
        .correlate(batch)
        .scalar_subquery()
    )


def _others_flow() -> sa.ColumnElement[bool]:
    report = sa.and_(event.c.kind >= "message.", event.c.kind < "message/")
    return sa.exists().where(event.c.occurred_at > batch.c.claimed_at, report)


def decide(
    store: Store, batch_ids: Sequence[int], decision: Decision, *, who: str, why: str, now: Micros, machine_now: Micros
) -> Mapping[int, int]:
    """A person's word on these unsure batches; batch → people. A batch that is not unsure (any more) is left out.

    Raises ValueError without a reason: the next reader must be able to see why.
    """
    if not why.strip():
        raise ValueError("say why: the decision is kept with its reason")
    with store.write("ledger") as connection:
        decided = _decide(connection, batch_ids, decision, f"{who}: {why}", now, machine_now)
    with store.write("core") as connection:
        for batch_id, people in decided.items():
            connection.execute(
                sa.insert(audit).values(
                    at=now,
                    who=who,
                    what=f"unsure {decision}",
                    subject=f"batch {batch_id}",
                    details=f"{counted(people, 'person', 'people')}: {why}",
                )
            )
    return decided


def settle_unsure(store: Store, rules: Rules, *, now: Micros, machine_now: Micros) -> Mapping[str, int]:
    """Settle what reports prove, then what the workspace's `if_unsure` decides; people by what they became."""
    with store.read() as connection:
        if not connection.execute(sa.select(sa.exists().where(IS_OPEN))).scalar():
            return {}
    accepted = settle_by_evidence(store, now=now, machine_now=machine_now)
    resent = settle_by_policy(store, rules, now=now, machine_now=machine_now)
    return {word: n for word, n in (("accepted", accepted), (WANTED_AGAIN, resent)) if n}


def settle_by_policy(store: Store, rules: Rules, *, now: Micros, machine_now: Micros) -> int:
    """Want once more what the workspace's `if_unsure` says to resend; how many people that concerns.

    Once: a hand-over that was repeated and is unknown again waits for a person, or a provider that takes everything and
    answers nothing would write to the same people without end.

    `resend_after` waits that long in campaign time, and only while reports about other sends come in: where nothing
    flows, silence proves nothing. Ask `settle_by_evidence` first.
    """
    with store.write("ledger") as connection:
        rows = connection.execute(
            sa.select(batch.c.id, batch.c.settled_at, version.c.plan_json, _others_flow().label("others_flow"))
            .join_from(batch, campaign, campaign.c.id == batch.c.campaign_id)
            .join(version, version.c.id == campaign.c.live_version)
            .where(batch.c.state == "unsure", _is_policys())
        ).all()
        resent = 0
        for row in rows:
            plan = plan_from_json(row.plan_json)
            policy = policy_of(rules, plan)
            if _may_resend(policy, row.settled_at or 0, bool(row.others_flow), now):
                note = f"if_unsure: {policy.action} for {'marketing' if plan.marketing else 'transactional'} topics"
                resent += sum(_decide(connection, [row.id], "resend", note, now, machine_now).values())
        return resent


def next_resend(connection: Connection, campaign_id: int, policy: UnsurePolicy, now: Micros) -> Micros | None:
    """The first instant after now at which people of this campaign are asked whether they get it once more."""
    asked = sa.func.coalesce(batch.c.resend_at, _wait_ends(policy))
    first: Micros | None = connection.scalar(sa.select(sa.func.min(asked)).where(_unsure_of(campaign_id), asked > now))
    return first


def has_due_resend(connection: Connection, campaign_id: int, policy: UnsurePolicy, now: Micros) -> bool:
    """Whether people of this campaign should have been asked by now."""
    by_policy = sa.and_(batch.c.resend_at.is_(None), _wait_ends(policy) <= now, _others_flow())
    due = sa.or_(batch.c.resend_at <= now, by_policy)
    return bool(connection.scalar(sa.select(sa.exists().where(_unsure_of(campaign_id), due))))


def policy_of(rules: Rules, plan: Plan) -> UnsurePolicy:
    """What the house says about unknown hand-overs of a campaign."""
    return rules.if_unsure_marketing if plan.marketing else rules.if_unsure_transactional


def _unsure_of(campaign_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(batch.c.campaign_id == campaign_id, batch.c.state == "unsure")


def _is_policys() -> sa.ColumnElement[bool]:
    """The house may decide about this unsure batch: it comes from no backup, and nobody wanted it once more before."""
    before = sa.exists().where(attempt.c.batch_id == batch.c.id, attempt.c.status == RESEND)
    return sa.and_(batch.c.note.is_distinct_from(FROM_BACKUP), batch.c.resend_at.is_(None), sa.not_(before))


def _wait_ends(policy: UnsurePolicy) -> sa.ColumnElement[Any]:
    """When `resend_after` has waited for long enough; NULL where it does not wait."""
    if policy.after is None:
        return sa.cast(sa.null(), sa.BigInteger())
    return sa.case((_is_policys(), batch.c.settled_at + policy.after.seconds * SECOND))


def _may_resend(policy: UnsurePolicy, since: Micros, others_flow: bool, now: Micros) -> bool:
    match policy.action:
        case "hold":
            return False
        case "resend":
            return True
        case "resend_after":
            wait = policy.after.seconds * SECOND if policy.after is not None else 0
            return others_flow and now >= since + wait


def _decide(
    connection: Connection, batch_ids: Sequence[int], decision: Decision, note: str, now: Micros, machine_now: Micros
) -> dict[int, int]:
    fate: dict[str, Any] = {"note": note}
    if decision == "resend":
        asked = sa.and_(batch.c.state == "unsure", batch.c.resend_at.is_(None))
        fate |= {"resend_at": now}
    else:
        asked = batch.c.state == "unsure"
        fate |= {"state": _STATE[decision], "settled_at": now, "lease_until": None, "retry_at": None}
    won = connection.execute(
        sa.update(batch).where(batch.c.id.in_(batch_ids), asked).values(**fate).returning(batch.c.id)
    ).scalars()
    decided: dict[int, int] = {}
    for batch_id in sorted(won):
        write_decision(connection, batch_id, decision, note, machine_now)
        counted = sa.select(sa.func.count()).where(open_people(batch_id))
        decided[batch_id] = connection.execute(counted).scalar_one()
    return decided

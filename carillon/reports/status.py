"""How everything stands: each campaign with its people, and what a person must look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.advance.lease import lease_holder
from carillon.advance.next_due import next_due
from carillon.definition.load import Loaded
from carillon.delivery.holds import held_connectors
from carillon.delivery.slower import Slowed, slowed
from carillon.delivery.waiting import waiting
from carillon.foresight.hypothetical import under_way
from carillon.journey.awaited import awaited
from carillon.journey.ground import Ground, load_ground
from carillon.kernel.clock import MINUTE, SECOND, Clock, Micros
from carillon.plan.applied import Applied, applied_names
from carillon.plan.compile import compile_plan, meaning
from carillon.policy.coupons import Supply, supplies
from carillon.store import tables as t
from carillon.store.engine import Store


@dataclass(frozen=True, slots=True)
class CampaignStatus:
    """One applied campaign as it stands now."""

    name: str
    state: str
    """running, paused, stopped, held, ending, ended; the stricter of the files and the operator.

    Ending: nobody enters any more, and somebody is still under way or waits for a message.
    """
    hold_reason: str | None
    under_way: Mapping[str, int]
    """Step → people who stand there."""
    ready: int
    waiting_for: Mapping[str, int]
    """What was said to those who are ready and were deferred → people."""
    per_minute: int
    """How many are handed over a minute, by the last one; 0: none is just now."""
    unsure: int
    wanted_again: int
    """Of the unsure: who is to be sent it once more, as soon as they may have it."""
    next_due: Micros | None
    is_advanced_now: bool
    drift: str | None
    """How the files differ from what is applied; None = not at all."""
    awaits: tuple[str, ...] = ()
    """What a person must say yes to before anything leaves."""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole workspace."""

    at: Micros
    campaigns: tuple[CampaignStatus, ...]
    not_applied: tuple[str, ...]
    held_connectors: Mapping[str, str]
    slowed_connectors: Mapping[str, Slowed]
    newest_event: Micros | None
    newest_feedback: Micros | None
    waiting_intakes: int
    """Commits of arrived events that no fold has taken yet."""
    coupons: tuple[Supply, ...] = ()


def status(store: Store, loaded: Loaded, now: Micros, machine_clock: Clock) -> Status:
    """Look at everything; writes nothing."""
    with store.read() as connection:
        names = applied_names(connection)
    campaigns = tuple(_campaign(load_ground(store, name, now), loaded, machine_clock) for name in names)
    live = (name for name, campaign in loaded.campaigns.items() if campaign.state != "draft")
    with store.read() as connection:
        is_feedback = sa.and_(t.event.c.kind >= "message.", t.event.c.kind < "message/")
        newest = sa.select(sa.func.max(t.event.c.occurred_at))
        return Status(
            at=now,
            campaigns=campaigns,
            not_applied=tuple(sorted(set(live) - set(names))),
            held_connectors=held_connectors(connection),
            slowed_connectors=slowed(connection, machine_clock.now()),
            newest_event=connection.scalar(newest.where(sa.not_(is_feedback))),
            newest_feedback=connection.scalar(newest.where(is_feedback)),
            coupons=tuple(supplies(connection, loaded.workspace.coupons)),
            waiting_intakes=connection.scalar(sa.select(sa.func.count()).where(t.intake.c.state == "new")) or 0,
        )


def _campaign(ground: Ground, loaded: Loaded, machine_clock: Clock) -> CampaignStatus:
    applied = ground.applied
    with ground.store.read() as connection:
        standing = under_way(connection, applied.id)
        ready, unsure, wanted = _in_batches(connection, applied.id)
        per_minute = _per_minute(connection, applied.id, machine_clock.now())
        why = waiting(connection, applied.id, ground.now).reasons
        awaits = tuple(one.sentence for one in awaited(connection, ground))
    return CampaignStatus(
        name=applied.name,
        state="ending" if state_of(applied) == "ended" and (standing or ready) else state_of(applied),
        hold_reason=applied.hold_reason,
        under_way=standing,
        ready=ready,
        waiting_for=why,
        per_minute=per_minute,
        unsure=unsure,
        wanted_again=wanted,
        next_due=next_due(ground, machine_clock.now()) if applied.is_running else None,
        is_advanced_now=lease_holder(ground.store, f"advance:{applied.name}", machine_clock) is not None,
        drift=_drift(applied, loaded),
        awaits=awaits,
    )


def state_of(applied: Applied) -> str:
    """One word for files, operator and brake together."""
    if applied.operator_state != "running":
        return applied.operator_state
    if applied.hold_reason is not None:
        return "held"
    return "running" if applied.wanted_state == "live" else applied.wanted_state


def _in_batches(connection: Connection, campaign_id: int) -> tuple[int, int, int]:
    """People who are ready, who are unsure, and of these who are wanted once more."""
    b, s = t.batch.c, t.send.c
    is_wanted = sa.and_(b.state == "unsure", b.resend_at.is_not(None))
    rows = connection.execute(
        sa.select(b.state, sa.func.count(), sa.func.sum(sa.case((is_wanted, 1), else_=0)))
        .join_from(t.batch, t.send, s.batch_id == b.id)
        .where(b.campaign_id == campaign_id, b.state.in_(("ready", "claimed", "unsure")), s.outcome.is_(None))
        .group_by(b.state)
    ).all()
    people = {state: n for state, n, _ in rows}
    wanted = sum(int(n) for _, _, n in rows)
    return people.get("ready", 0) + people.get("claimed", 0), people.get("unsure", 0), wanted


def _per_minute(connection: Connection, campaign_id: int, machine_now: Micros) -> int:
    b = t.batch.c
    begun = sa.and_(b.campaign_id == campaign_id, b.begun_at > machine_now - MINUTE, b.state == "accepted")
    people, since = connection.execute(sa.select(sa.func.sum(b.n), sa.func.min(b.begun_at)).where(begun)).one()
    return 0 if since is None else int(people * MINUTE // max(machine_now - since, SECOND))


def _drift(applied: Applied, loaded: Loaded) -> str | None:
    if applied.name not in loaded.messages:
        return None if applied.wanted_state == "ended" else "its folder is gone; it runs as applied"
    if loaded.errors_of(applied.name) or applied.name not in loaded.campaigns:
        return "its files have errors (carillon check)"
    campaign = loaded.campaigns[applied.name]
    plan = compile_plan(campaign, loaded.segments, loaded.workspace)
    if meaning(plan) != applied.meaning:
        return "its files mean something else than what is applied"
    return None if plan.state == applied.wanted_state else f"its files say `state: {plan.state}`"

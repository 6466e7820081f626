"""When a campaign wants to be advanced again."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.advance.judge import next_look
from carillon.advance.lead import next_decision
from carillon.definition.entries import OnSegment, Scheduled
from carillon.delivery.unsure import next_resend, policy_of
from carillon.journey.ground import Ground
from carillon.journey.members import next_look as look_at
from carillon.journey.occasions import next_occasion
from carillon.journey.ripen import next_ripe
from carillon.kernel.clock import SECOND, Micros
from carillon.store import tables as t


def next_due(ground: Ground, machine_now: Micros | None = None) -> Micros | None:
    """The first instant after now at which somebody is due, an entry comes or a leader is chosen; None = only events.

    With the machine's time also that at which a provider that deferred is asked again.
    """
    with ground.store.read() as connection:
        person = connection.scalar(_next_person(ground))
    entries = (e for e in ground.applied.plan.entries if isinstance(e, Scheduled))
    again = None if machine_now is None else _next_attempt(ground, machine_now)
    instants = [
        person,
        again,
        next_decision(ground),
        next_look(ground),
        *(next_occasion(ground, entry) for entry in entries),
        _next_ripe(ground),
        *_next_looks(ground),
        _next_resend(ground),
    ]
    return min((i for i in instants if i is not None), default=None)


def _next_person(ground: Ground) -> sa.Select[tuple[Micros]]:
    """When the next of those under way is due: a look into the index for each step and version, however many stand there."""
    e, n, v = t.enrolment.c, t.node.c, t.version.c
    first = (
        sa.select(e.due_at)
        .where(e.node_id == n.id, e.version_id == v.id, e.state == "live", e.due_at > ground.now)
        .order_by(e.due_at)
        .limit(1)
        .correlate(t.node, t.version)
        .scalar_subquery()
    )
    steps = sa.select(sa.func.min(first)).join_from(t.node, t.version, v.campaign_id == n.campaign_id)
    return steps.where(n.campaign_id == ground.applied.id, v.id.in_(list(ground.applied.versions)))


def _next_ripe(ground: Ground) -> Micros | None:
    """When the first thing has been idle for long enough to take somebody in."""
    if ground.applied.wanted_state != "live":
        return None
    with ground.store.read() as connection:
        return next_ripe(connection, ground)


def _next_resend(ground: Ground) -> Micros | None:
    """When somebody whose hand-over is unknown may be written to once more."""
    policy = policy_of(ground.rules, ground.applied.plan)
    with ground.store.read() as connection:
        return next_resend(connection, ground.applied.id, policy, ground.now)


def _next_looks(ground: Ground) -> list[Micros]:
    """When those are looked at again who may have joined a segment or left it by the clock alone."""
    entries = [e for e in ground.applied.plan.entries if isinstance(e, OnSegment)]
    if not entries or ground.applied.wanted_state != "live":
        return []
    with ground.store.read() as connection:
        return [max(look_at(connection, ground, entry), ground.now + SECOND) for entry in entries]


def _next_attempt(ground: Ground, machine_now: Micros) -> Micros | None:
    """When the first batch that a provider deferred may be tried again; back-off is machine time, told in ours."""
    b = t.batch.c
    deferred = sa.select(sa.func.min(b.retry_at)).where(
        b.campaign_id == ground.applied.id, b.state == "ready", b.due_at <= ground.now, b.retry_at.is_not(None)
    )
    with ground.store.read() as connection:
        retry_at = connection.scalar(deferred)
    return None if retry_at is None else ground.now + max(retry_at - machine_now, SECOND)

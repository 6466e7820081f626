"""Exposed: who was treated, by arm, and from when their goal window runs; each a Select for `collect`.

Columns: arm, enrolment_id, contact_id, at. Sends that are sent or unsure expose; of the holdout the ghosts do.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from carillon.experiment.split import is_in_sample
from carillon.kernel.channels import OURS
from carillon.plan.generations import Generation
from carillon.store import tables as t

SENT_STATES = ("accepted", "unsure", "closed")
"""States of a send that people see as sent; `closed` is an unsure one that a person gave up on."""

TREATED, HELD = "treated", "held"

_s, _b, _e = t.send.c, t.batch.c, t.enrolment.c
_is_sent = sa.and_(_s.channel.not_in(OURS), sa.func.coalesce(_s.outcome, _b.state).in_(SENT_STATES))
_left_at = sa.func.coalesce(_b.claimed_at, _s.decided_at, _b.decided_at)


def of_test(
    node_id: int,
    *,
    wave_id: int | None = None,
    experiment: str | None = None,
    sample: int | None = None,
    generation: Generation | None = None,
) -> sa.Select[Any]:
    """Who was sent a message, by variant, from the hand-over on; with `generation` the words that it compares.

    With `experiment` its sample only: the rest gets the leader on another day, and the two must never be pooled.
    """
    sends = t.send.join(t.enrolment, _e.id == _s.enrolment_id).outerjoin(t.batch, _b.id == _s.batch_id)
    select = sa.select(_s.arm, _s.enrolment_id, _s.contact_id, _left_at.label("at"))
    select = select.where(_s.node_id == node_id, _is_sent)
    if generation is not None:
        select = select.where(generation.owns(sa.func.coalesce(_b.texts_at, 0)))
    if wave_id is not None:
        select = select.where(_e.wave_id == wave_id)
    if experiment is None:
        return select.select_from(sends)
    standing = t.standing.c
    return select.select_from(sends.join(t.standing, standing.contact_id == _s.contact_id)).where(
        is_in_sample(experiment, _e.wave_id, sample, standing.h31)
    )


def of_split(node_id: int) -> sa.Select[Any]:
    """Who came to a split, by the branch they took, from that instant on: by intention to treat."""
    p = t.passage.c
    return (
        sa.select(p.branch.label("arm"), p.enrolment_id, _e.contact_id, p.at)
        .select_from(t.passage.join(t.enrolment, _e.id == p.enrolment_id))
        .where(p.node_id == node_id)
    )


def of_holdout(campaign_id: int, *, from_entry: bool = False) -> sa.Select[Any]:
    """Treated and held people from their first send, sent or ghost; `from_entry` where no message comes first."""
    arm = sa.case((_e.role == TREATED, TREATED), else_=HELD).label("arm")
    if from_entry:
        return sa.select(arm, _e.id.label("enrolment_id"), _e.contact_id, _e.entered_at.label("at")).where(
            _e.campaign_id == campaign_id
        )
    first = sa.func.min(_left_at).label("at")
    return (
        sa.select(arm, _e.id.label("enrolment_id"), _e.contact_id, first)
        .select_from(t.enrolment.join(t.send, _s.enrolment_id == _e.id).outerjoin(t.batch, _b.id == _s.batch_id))
        .where(_e.campaign_id == campaign_id, sa.or_(_is_sent, _s.outcome == "ghost"))
        .group_by(_e.id, _e.contact_id, _e.role)
    )


def of_campaign(campaign_id: int) -> sa.Select[Any]:
    """Everybody who was sent anything, as one arm called `all`, from the first hand-over on."""
    return (
        sa.select(
            sa.literal("all").label("arm"),
            _e.id.label("enrolment_id"),
            _e.contact_id,
            sa.func.min(_left_at).label("at"),
        )
        .select_from(t.enrolment.join(t.send, _s.enrolment_id == _e.id).outerjoin(t.batch, _b.id == _s.batch_id))
        .where(_e.campaign_id == campaign_id, _is_sent)
        .group_by(_e.id, _e.contact_id)
    )

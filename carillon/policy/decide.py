"""The one decision, `hand over | skip(reason) | withhold`: a Select that reserve writes, `plan` counts and `explain` reads.

Reasons are asked in the order of language.md §3.4; the first that holds is the reason. The holdout is the last: a held
person is asked every reason as others are, so that both arms are compared from the same exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.moment import Moment, of_enrolment
from carillon.consent.expressions import closed_by_sql
from carillon.definition.conditions import Condition
from carillon.kernel.channels import INVALID_ADDRESS, NO_ADDRESS, SUPPRESSED, Channel
from carillon.kernel.clock import SECOND
from carillon.kernel.time.calendar import clock_micros
from carillon.plan.model import MessageNode, Plan
from carillon.plan.rules import Rules
from carillon.plan.permissions import HousePermissions
from carillon.store import localtime
from carillon.store import tables as t

Column = sa.ColumnElement[Any]


class SkipReason(StrEnum):
    """Why a contact who reached a message gets nothing; in the order in which they are asked."""

    EXITED = "exited"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NO_ADDRESS = "no_address"
    INVALID_ADDRESS = "invalid_address"
    SUPPRESSED = "suppressed"
    NO_CONSENT = "no_consent"
    EXCLUDED = "excluded"
    ONLY_IF = "only_if"
    NO_TRANSLATION = "no_translation"
    DUPLICATE_ADDRESS = "duplicate_address"
    TEMPLATE_SKIP = "template_skip"
    RENDER_FAILED = "render_failed"
    HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class Question:
    """What a decision is about: one message of one version, and the facts that hold for all its candidates."""

    plan: Plan
    node: MessageNode
    node_id: int
    rules: Rules
    moment: Moment
    languages: Sequence[str]
    """Languages in which the message has content."""
    ends_zone: str | None
    """The zone of `ends`; None = each contact's own."""


def decisions(question: Question, candidates: sa.FromClause) -> sa.Select[Any]:
    """One row a candidate: its reason (NULL = hand over), address, language and the instant after which it is too late.

    `candidates` has the columns of an enrolment that a condition may read (id, contact_id, wave_id, role, due_at,
    arrived_at, entered_at, trigger_at, …). Result columns: enrolment_id, contact_id, wave_id, role, due_at, h31, zone,
    language, country, address, not_after, reason.
    """
    asked = _asked(question, candidates).subquery("asked")
    if not question.plan.marketing:
        return sa.select(*(c for c in asked.c if c.name != "first_reason"), asked.c.first_reason.label("reason"))
    reason = sa.case(
        (asked.c.first_reason.is_not(None), asked.c.first_reason),
        (_is_duplicate(question, asked), SkipReason.DUPLICATE_ADDRESS.value),
        (asked.c.role != "treated", SkipReason.HOLDOUT.value),
    )
    return sa.select(*(c for c in asked.c if c.name != "first_reason"), reason.label("reason"))


def _asked(question: Question, candidates: sa.FromClause) -> sa.Select[Any]:
    c, s = candidates.c, t.standing.c
    address = address_of(question.node.channel)
    not_after = _not_after(question, c.due_at)
    return (
        sa.select(
            c.id.label("enrolment_id"),
            c.contact_id.label("contact_id"),
            c.wave_id.label("wave_id"),
            c.role.label("role"),
            c.due_at.label("due_at"),
            s.h31.label("h31"),
            s.zone.label("zone"),
            s.language.label("language"),
            s.country.label("country"),
            address.label("address"),
            not_after.label("not_after"),
            sa.case(*_reasons(question, candidates, not_after)).label("first_reason"),
        )
        .join_from(candidates, t.standing, s.contact_id == c.contact_id)
        .join(t.contact, t.contact.c.id == c.contact_id)
    )


def address_of(channel: Channel) -> Column:
    """The column that holds the address on a channel."""
    return t.contact.c.phone_key if channel is Channel.SMS else t.contact.c.email_key


def _reasons(
    question: Question, candidates: sa.FromClause, not_after: Column
) -> list[tuple[sa.ColumnElement[bool], str]]:
    channel, plan, rules = question.node.channel, question.plan, question.rules
    subject = of_enrolment(candidates, contact=t.contact, standing=t.standing)

    def holds(condition: Condition) -> sa.ColumnElement[bool]:
        return sa.func.coalesce(where(condition, subject, question.moment), sa.false())

    permitted = HousePermissions(rules).allowed(t.standing, plan.topic, channel)
    reasons = [
        (not_after <= question.moment.now, SkipReason.EXPIRED),
        (closed_by_sql(NO_ADDRESS, channel), SkipReason.NO_ADDRESS),
        (closed_by_sql(INVALID_ADDRESS, channel), SkipReason.INVALID_ADDRESS),
        (closed_by_sql(SUPPRESSED, channel), SkipReason.SUPPRESSED),
        (sa.not_(permitted), SkipReason.NO_CONSENT),
    ]
    if plan.marketing and rules.exclude is not None:
        reasons.append((holds(rules.exclude), SkipReason.EXCLUDED))
    if question.node.only_if is not None:
        reasons.append((sa.not_(holds(question.node.only_if)), SkipReason.ONLY_IF))
    reasons.append((t.standing.c.language.not_in(list(question.languages)), SkipReason.NO_TRANSLATION))
    return [(holds_, reason.value) for holds_, reason in reasons]


def _not_after(question: Question, due_at: Column) -> Column:
    """The earliest of `valid_for`, `valid_until` (the contact's clock) and the campaign's `ends`; NULL = no limit."""
    zone = t.standing.c.zone
    limits: list[Column] = []
    if question.node.valid_for is not None:
        span = question.node.valid_for
        limits.append(
            due_at + span.seconds * SECOND if not span.months else localtime.add_months(zone, due_at, span.months)
        )
    if question.node.valid_until is not None:
        limits.append(_local(zone, clock_micros(question.node.valid_until)))
    if question.plan.ends is not None:
        ends_zone = zone if question.ends_zone is None else sa.literal(question.ends_zone)
        limits.append(_local(ends_zone, clock_micros(question.plan.ends)))
    if not limits:
        return sa.cast(sa.null(), sa.BigInteger())
    earliest = limits[0]
    for limit in limits[1:]:
        earliest = sa.case((limit < earliest, limit), else_=earliest)
    return earliest


def _local(zone: Column, clock: int) -> Column:
    return localtime.local_to_utc(zone, sa.literal(clock, sa.BigInteger()))


def _is_duplicate(question: Question, asked: sa.Subquery) -> sa.ColumnElement[bool]:
    """Somebody else with the same address gets this message in this wave: the lowest contact id, or who got it before."""
    address = address_of(question.node.channel)
    # Ranks count contacts, not rows: one person with two carts is nobody's double.
    place = sa.func.dense_rank().over(
        partition_by=[asked.c.wave_id, asked.c.address, asked.c.first_reason], order_by=asked.c.contact_id
    )
    twin, e, s = t.contact.alias("twin"), t.enrolment.alias("twin_enrolment"), t.send.alias("twin_send")
    # The campaign says nothing that the wave does not say, but the index of enrolments begins with it; and one EXISTS in
    # the other keeps SQLite from beginning with all enrolments: twins are few, people served before are many.
    campaign = sa.select(t.node.c.campaign_id).where(t.node.c.id == question.node_id).scalar_subquery()
    served = sa.exists(
        sa.select(sa.literal(1))
        .select_from(e.join(s, sa.and_(s.c.node_id == question.node_id, s.c.enrolment_id == e.c.id)))
        .where(e.c.campaign_id == campaign, e.c.contact_id == twin.c.id, e.c.wave_id == asked.c.wave_id)
        .where(sa.or_(s.c.outcome.is_(None), s.c.outcome.not_like("skipped:%")))
        .correlate(asked, twin)
    )
    has_served_twin = sa.exists(
        sa.select(sa.literal(1))
        .select_from(twin)
        .where(twin.c[address.name] == asked.c.address, twin.c.id != asked.c.contact_id, served)
        .correlate(asked)
    )
    return sa.or_(place > 1, has_served_twin)

"""The one decision, `hand over | skip(reason) | withhold`: a Select that reserve writes, `plan` counts and `explain` reads.

Reasons are asked in the order of language.md §3.4; the first that holds is the reason. The holdout is the last: a held
person is asked every reason as others are, so that both arms are compared from the same exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.moment import Moment, of_enrolment
from carillon.consent.expressions import closed_by_sql
from carillon.definition.conditions import Condition
from carillon.kernel.channels import INVALID_ADDRESS, NO_ADDRESS, OURS, SUPPRESSED, Channel, shared_bit
from carillon.kernel.clock import MINUTE, SECOND, Micros
from carillon.kernel.time.calendar import clock_micros, local_to_utc
from carillon.plan.model import MessageNode, Plan
from carillon.plan.permissions import HousePermissions
from carillon.plan.rules import Rules
from carillon.policy.budgets import Purse, priced
from carillon.policy.caps import capped
from carillon.policy.clocks import clocks
from carillon.policy.coupons import Stock, coded
from carillon.policy.limits import FREE, MessageLimits
from carillon.policy.ours import is_allowed, reasons_of_ours
from carillon.policy.words import WAITS, SkipReason
from carillon.store import localtime
from carillon.store import tables as t

Column = sa.ColumnElement[Any]

_NOUGHT = sa.literal_column("0", sa.Integer)

KEEPS: Micros = 5 * MINUTE
"""So long the answers to conditions hold: a batch that is older is asked again before it is handed over."""


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
    limits: MessageLimits = FREE
    purse: Purse | None = None
    stock: Stock | None = None
    """Of a message with a coupon: the pool, and how many codes it has left."""
    alone: bool = False
    """Asked only of those whose address nobody shares: what is decided of one of them says nothing of another."""


def decisions(question: Question, candidates: sa.FromClause) -> sa.Select[Any]:
    """One row a candidate: its reason (NULL = hand over), language and the instant after which it is too late.

    `candidates` has the columns of an enrolment that a condition may read (id, contact_id, wave_id, role, due_at,
    arrived_at, entered_at, trigger_at, …). Result columns: enrolment_id, contact_id, wave_id, role, due_at, h31, zone,
    language, country, not_after, reason, wait_until, price (planned, in millionths, with a budget). Where `wait_until` is not NULL the reason is a WaitReason,
    and the same is asked again at that instant.
    """
    asked = _asked(question, candidates).cte("asked")
    if not question.plan.marketing or question.node.is_ours:
        never = sa.cast(sa.null(), sa.BigInteger()).label("wait_until")
        price = sa.literal(0, sa.BigInteger()).label("price")
        stands: Column = asked.c.stands
        if question.node.is_ours:  # of the holdout nobody is told, and they go on
            stands = sa.case((stands.is_not(None), stands), (asked.c.role != "treated", SkipReason.HOLDOUT.value))
        return sa.select(*_kept(asked), stands.label("reason"), never, price)
    timed = _timed(question, candidates, _judged(question, asked, candidates))
    if not question.limits.caps:
        return _decided(question, timed, [], [timed.c.wait_until])
    rows, cases, frees_at = capped(timed, question.limits, question.moment.now)
    return _decided(question, rows, cases, [rows.c.wait_until, frees_at])


def refusals(question: Question, candidates: sa.FromClause) -> sa.Select[Any]:
    """Who may not have the message by what is known of them now (enrolment_id, reason); limits are not asked.

    For people who are decided already: their place under the caps is theirs.
    """
    asked = _asked(question, candidates).cte("asked")
    return sa.select(asked.c.enrolment_id, asked.c.stands.label("reason")).where(asked.c.stands.is_not(None))


def asks_conditions(plan: Plan, node: MessageNode, rules: Rules) -> bool:
    """Whether time or what people do can change the decision about a message, consent and limits aside."""
    return node.only_if is not None or (plan.marketing and not node.is_ours and rules.exclude is not None)


_RESULT = (
    "enrolment_id", "contact_id", "wave_id", "role", "due_at", "h31", "zone", "language", "country", "not_after",
)  # fmt: skip


def _kept(rows: sa.FromClause) -> list[Column]:
    return [rows.c[name] for name in _RESULT]


def _judged(question: Question, asked: sa.CTE, candidates: sa.FromClause) -> sa.CTE:
    """What stands against each person, the limits and the holdout not asked yet."""
    # Addresses that two share are few: who is the double is asked once there is one, and then once for all.
    a = asked.c
    stands: Column = a.stands
    if not question.alone:
        double = sa.and_(a.may_have_twin, a.enrolment_id.in_(_doubles(question, candidates)))
        stands = sa.func.coalesce(a.stands, sa.case((double, SkipReason.DUPLICATE_ADDRESS.value)))
    kept = [c for c in a if c.name not in ("stands", "may_have_twin")]
    return sa.select(*kept, stands.label("stands")).offset(_NOUGHT).cte("judged")


def _timed(question: Question, candidates: sa.FromClause, judged: sa.CTE) -> sa.CTE:
    """Quiet hours and blackouts: who waits, until when, and from when on the others may not leave any more."""
    limits, j = question.limits, judged.c
    if not limits.is_by_clock:
        never = sa.cast(sa.null(), sa.BigInteger()).label("wait_until")
        return sa.select(*j, j.not_after.label("expires_at"), never).cte("timed")
    zone = t.standing.c.zone
    pairs = sa.select(zone, _asked_at(question, candidates.c.due_at).label("at"))
    pairs = pairs.join_from(candidates, t.standing, t.standing.c.contact_id == candidates.c.contact_id)
    shut = clocks(pairs, limits.windows, limits.blackouts)
    k = shut.c
    here = sa.and_(k.zone == j.zone, k.at == _asked_at(question, j.due_at))
    is_over = k.open_at >= j.not_after
    stands = sa.case(
        (j.stands.is_not(None), j.stands), (is_over, SkipReason.EXPIRED.value), (k.open_at.is_not(None), k.why)
    )
    not_after = sa.case((sa.or_(j.not_after.is_(None), k.shut_at < j.not_after), k.shut_at), else_=j.not_after)
    wait_until = sa.case((sa.and_(j.stands.is_(None), sa.not_(sa.func.coalesce(is_over, sa.false()))), k.open_at))
    others = [c for c in j if c.name not in ("stands", "not_after")]
    return (
        sa.select(
            *others, not_after.label("not_after"), j.not_after.label("expires_at"), stands.label("stands"),
            wait_until.label("wait_until"),
        )
        .outerjoin_from(judged, shut, here)
        .cte("timed")
    )  # fmt: skip


def _asked_at(question: Question, due_at: Column) -> Column:
    """The instant at which a person's clock is asked: now, or when `plan` looks ahead, when it falls due."""
    now = sa.literal(question.moment.now, sa.BigInteger())
    return sa.case((due_at > now, due_at), else_=now)


def _decided(
    question: Question,
    rows: sa.FromClause,
    cases: Sequence[tuple[sa.ColumnElement[bool], Column]],
    waits: Sequence[Column],
) -> sa.Select[Any]:
    r = rows.c
    reason = sa.func.coalesce(r.stands, sa.case(*cases)) if cases else r.stands
    until = sa.func.coalesce(*waits, sa.null())
    told = sa.select(*_kept(rows), reason.label("reason"), until.label("until")).cte("told")
    if question.stock is not None:
        told = _supplied(coded(told, question.stock))
    price: Column = sa.literal(0, sa.BigInteger())
    dear: list[tuple[sa.ColumnElement[bool], str]] = []
    if question.purse is not None:
        told = priced(told, question.purse)
        is_over = sa.and_(told.c.price > 0, told.c.running > question.purse.left)
        price, dear = sa.case((is_over, 0), else_=told.c.price), [(is_over, SkipReason.OVER_BUDGET.value)]
    c = told.c
    final = sa.func.coalesce(c.reason, sa.case(*dear, (c.role != "treated", SkipReason.HOLDOUT.value)))
    wait_until = sa.case((c.reason.in_(sorted(WAITS)), c.until))
    return sa.select(*_kept(told), final.label("reason"), wait_until.label("wait_until"), price.label("price"))


def _supplied(told: sa.CTE) -> sa.CTE:
    c = told.c
    reason = sa.case((c.reason.is_not(None), c.reason), (c.is_too_late, SkipReason.NO_COUPON.value))
    return sa.select(*_kept(told), reason.label("reason"), c.until).cte("supplied")


def _asked(question: Question, candidates: sa.FromClause, *, reads_contact: bool = False) -> sa.Select[Any]:
    """What is known of each by itself. Contacts are wide, and nearly all that is asked of them stands in `standing`."""
    c, s, rules = candidates.c, t.standing.c, question.rules
    ours = question.node.is_ours
    reads_contact = reads_contact or ours or asks_conditions(question.plan, question.node, rules)
    reads_contact = reads_contact or bool(rules.allow_list)
    language: Column = sa.literal(question.rules.languages[0]) if ours else s.language
    first_due = _first_due(question, candidates)
    not_after = _not_after(question, first_due)
    rows = (
        sa.select(
            c.id.label("enrolment_id"),
            c.contact_id.label("contact_id"),
            c.wave_id.label("wave_id"),
            c.role.label("role"),
            c.due_at.label("due_at"),
            s.h31.label("h31"),
            s.zone.label("zone"),
            language.label("language"),
            s.country.label("country"),
            not_after.label("not_after"),
            first_due.label("first_due"),
            sa.case(*_reasons(question, candidates, not_after)).label("stands"),
            (sa.false() if ours else _may_have_twin(question.node.channel)).label("may_have_twin"),
        )
        .join_from(candidates, t.standing, s.contact_id == c.contact_id)
        .where(*_takes_this_way(question))
    )
    if question.alone and not ours:
        rows = rows.where(sa.not_(_may_have_twin(question.node.channel)))
    return rows.join(t.contact, t.contact.c.id == c.contact_id) if reads_contact else rows


def _may_have_twin(channel: Channel) -> sa.ColumnElement[bool]:
    return t.standing.c.shared_bits.bitwise_and(shared_bit(channel)) != 0


def _takes_this_way(question: Question) -> list[sa.ColumnElement[bool]]:
    """Of `first_reachable`: no channel before it reaches the contact, and this one does, or there is no other."""
    node, house = question.node, HousePermissions(question.rules)

    def reaches(channel: Channel) -> sa.ColumnElement[bool]:
        allowed = house.allowed(t.standing, question.plan.topic, channel)
        return sa.func.coalesce(sa.and_(allowed, house.open(t.standing, channel)), sa.false())

    closed = [sa.not_(reaches(channel)) for channel in node.behind]
    return [*closed, reaches(node.channel)] if node.others else closed


def address_of(channel: Channel) -> Column:
    """The column that holds the address on a channel; what reaches one of ours has none of the contact's."""
    if channel in OURS:
        return sa.literal("")
    return t.contact.c.phone_key if channel is Channel.SMS else t.contact.c.email_key


def _reasons(
    question: Question, candidates: sa.FromClause, not_after: Column
) -> list[tuple[sa.ColumnElement[bool], str]]:
    channel, plan, rules = question.node.channel, question.plan, question.rules
    subject = of_enrolment(candidates, contact=t.contact, standing=t.standing)

    def holds(condition: Condition) -> sa.ColumnElement[bool]:
        return sa.func.coalesce(where(condition, subject, question.moment), sa.false())

    if question.node.is_ours:
        ours = [(not_after <= question.moment.now, SkipReason.EXPIRED), *reasons_of_ours(question.node, rules)]
        if question.node.only_if is not None:
            ours.append((sa.not_(holds(question.node.only_if)), SkipReason.ONLY_IF))
        return [(holds_, reason.value) for holds_, reason in (*ours, (sa.false(), SkipReason.EXPIRED))]
    permitted = HousePermissions(rules).allowed(t.standing, plan.topic, channel)
    reasons = [
        (not_after <= question.moment.now, SkipReason.EXPIRED),
        (closed_by_sql(NO_ADDRESS, channel), SkipReason.NO_ADDRESS),
        (closed_by_sql(INVALID_ADDRESS, channel), SkipReason.INVALID_ADDRESS),
        (closed_by_sql(SUPPRESSED, channel), SkipReason.SUPPRESSED),
        (sa.not_(permitted), SkipReason.NO_CONSENT),
    ]
    if str(channel) in rules.allow_list:
        reasons.append((sa.not_(is_allowed(address_of(channel), rules.allow_list[str(channel)])), SkipReason.EXCLUDED))
    if plan.marketing and rules.exclude is not None:
        reasons.append((holds(rules.exclude), SkipReason.EXCLUDED))
    if question.node.only_if is not None:
        reasons.append((sa.not_(holds(question.node.only_if)), SkipReason.ONLY_IF))
    reasons.append((t.standing.c.language.not_in(list(question.languages)), SkipReason.NO_TRANSLATION))
    return [(holds_, reason.value) for holds_, reason in reasons]


def _first_due(question: Question, candidates: sa.FromClause) -> Column:
    """When the message first fell due: a wait for quiet hours or a cap moves `due_at`, not the end of its validity."""
    test = question.node.test
    has_rest = test is not None and test.send_leader is not None  # whose hour comes with the leader, long after arrival
    column: Column = candidates.c.due_at if has_rest else candidates.c.arrived_at
    return column


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
        if question.ends_zone is None:
            limits.append(_local(zone, clock_micros(question.plan.ends)))
        else:  # one instant for all, and the store may not know the periods of a zone that nobody lives in
            limits.append(sa.literal(local_to_utc(question.ends_zone, question.plan.ends), sa.BigInteger()))
    if not limits:
        return sa.cast(sa.null(), sa.BigInteger())
    earliest = limits[0]
    for limit in limits[1:]:
        earliest = sa.case((limit < earliest, limit), else_=earliest)
    return earliest


def _local(zone: Column, clock: int) -> Column:
    return localtime.local_to_utc(zone, sa.literal(clock, sa.BigInteger()))


def _doubles(question: Question, candidates: sa.FromClause) -> sa.Select[Any]:
    """Whose address somebody else has who gets this message in this wave: the lowest contact id, or who got it before."""
    address = address_of(question.node.channel).label("address")
    twins = _asked(question, candidates, reads_contact=True).add_columns(address)
    asked = twins.where(_may_have_twin(question.node.channel)).cte("twins")
    free = sa.select(*asked.c).where(asked.c.stands.is_(None)).cte("free_twins")
    f = free.c
    # Ranks count contacts, not rows: one person with two carts is nobody's double.
    place = sa.func.dense_rank().over(partition_by=[f.wave_id, f.address], order_by=f.contact_id)
    ranked = sa.select(f.enrolment_id, sa.or_(place > 1, _is_served_by_twin(question, free)).label("is_double"))
    double = ranked.cte("ranked_twins")
    return sa.select(double.c.enrolment_id).where(double.c.is_double)


def _is_served_by_twin(question: Question, asked: sa.FromClause) -> sa.ColumnElement[bool]:
    """Somebody else with the same address got this message in this wave before."""
    address = address_of(question.node.channel)
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
    return sa.exists(
        sa.select(sa.literal(1))
        .select_from(twin)
        .where(twin.c[address.name] == asked.c.address, twin.c.id != asked.c.contact_id, served)
        .correlate(asked)
    )

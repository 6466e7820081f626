"""`coupon: POOL, is: …` as SQL: what became of the codes that somebody holds.

In a journey that gives codes of the pool it speaks of the enrolment's own, anywhere else of any that the contact was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from carillon.audience.moment import Expression, Moment, Predicate, Subject
from carillon.audience.sets import Rows, among
from carillon.definition.conditions import CouponIs
from carillon.store import tables


def spelt(code: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A code as redemptions are kept: shops and people write it in small letters, too."""
    return sa.func.upper(sa.func.trim(code))


def coupon_is(condition: CouponIs, subject: Subject, at: Moment) -> Predicate:
    """Do they hold a code of which this is true? Never NULL."""
    held = _Held.of(condition, subject)
    return among(held.rows(held.is_(condition.state, at)), subject, at)


def became_at(condition: CouponIs, subject: Subject, at: Moment) -> Expression:
    """The instant from which it is true: of the order, or the end of the code; NULL where it is not, or was from the start."""
    held = _Held.of(condition, subject)
    if condition.state == "unused":
        return sa.cast(sa.null(), sa.BigInteger())
    instant = held.redeemed_at(at) if condition.state == "redeemed" else held.coupon.c.valid_until
    rows = held.rows(held.is_(condition.state, at))
    return (
        sa.select(sa.func.min(instant))
        .select_from(rows.source)
        .where(rows.contact_id == subject.contact_id, *rows.where)
        .correlate_except(*rows.inner)
        .scalar_subquery()
    )


def turns_at(condition: CouponIs, subject: Subject, at: Moment, soon: Expression) -> Expression:
    """When the answer may change without anything coming in: a code ends, an order's instant is ahead; NULL = never.

    A code whose message is not settled may be anybody's again: that is asked `soon`.
    """
    held = _Held.of(condition, subject)
    rows, coupon = held.rows(sa.true()), held.coupon.c
    r = tables.redemption.alias("ordered_ahead")
    ahead = (
        sa.select(r.c.at).where(r.c.code == spelt(coupon.code), r.c.at > at.now).correlate_except(r).scalar_subquery()
    )
    ends = sa.case((coupon.valid_until > at.now, coupon.valid_until))
    turn = sa.case((coupon.state != "used", soon), (sa.or_(ahead.is_(None), ends < ahead), ends), else_=ahead)
    return (
        sa.select(sa.func.min(turn))
        .select_from(rows.source)
        .where(rows.contact_id == subject.contact_id, *rows.where)
        .correlate_except(*rows.inner)
        .scalar_subquery()
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """Codes of the pool with the enrolments that hold them."""

    coupon: sa.FromClause
    holder: sa.FromClause
    where: tuple[Predicate, ...]
    is_own: bool

    @classmethod
    def of(cls, condition: CouponIs, subject: Subject) -> _Held:
        coupon, holder = tables.coupon.alias("code_held"), tables.enrolment.alias("holder")
        # The index of enrolments begins with the campaign: campaigns are few, codes and people many.
        campaigns = sa.select(tables.campaign.c.id).correlate(None)
        where: list[Predicate] = [coupon.c.pool == condition.pool, holder.c.campaign_id.in_(campaigns)]
        is_own = condition.is_own and subject.enrolment is not None
        if is_own and subject.enrolment is not None:
            where.append(holder.c.id == subject.enrolment.c.id)
        return cls(coupon, holder, tuple(where), is_own)

    def rows(self, holds: Predicate) -> Rows:
        source = self.coupon.join(self.holder, self.holder.c.id == self.coupon.c.enrolment_id)
        inner = (self.coupon, self.holder)
        return Rows(source, self.holder.c.contact_id, (*self.where, holds), inner=inner, correlated=self.is_own)

    def redeemed_at(self, at: Moment) -> Expression:
        """When it stood in an order, up to the moment."""
        r = tables.redemption.alias("ordered_with")
        mine = sa.and_(r.c.code == spelt(self.coupon.c.code), r.c.at <= at.now)
        return sa.select(r.c.at).where(mine).correlate_except(r).scalar_subquery()

    def is_(self, state: str, at: Moment) -> Predicate:
        is_redeemed = self.redeemed_at(at).is_not(None)
        if state == "redeemed":
            return is_redeemed
        is_over = sa.func.coalesce(self.coupon.c.valid_until <= at.now, sa.false())
        return sa.and_(sa.not_(is_redeemed), is_over if state == "expired" else sa.not_(is_over))

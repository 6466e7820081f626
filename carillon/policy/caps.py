"""Caps, exactly: how many sends of a person count at an instant, and when a full window frees.

Pending sends count in every window; those that left count where they were due when they were handed over in time, else
where they were handed over. Counted is everything later than the window's beginning, *also what lies ahead*: a late
campaign finds others ahead of it. So no window ever holds more than its cap, whoever is reserved first.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from carillon.definition.limits import Cap
from carillon.kernel.channels import OURS
from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.durations import Span
from carillon.kernel.time.calendar import Period
from carillon.policy.limits import CapHere, MessageLimits
from carillon.policy.scan import PUNCTUAL, is_pending, not_in_time
from carillon.policy.words import SkipReason, WaitReason
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.ledger_tables import WEEK

Column = sa.ColumnElement[Any]

_NOUGHT = sa.literal_column("0", sa.Integer)
_NEVER: Micros = 2**60
_SENT = ("accepted", "unsure", "closed")


def capped(
    timed: sa.CTE, limits: MessageLimits, now: Micros
) -> tuple[sa.FromClause, list[tuple[sa.ColumnElement[bool], Column]], Column]:
    """What the caps say of candidates that nothing else stands against.

    `timed` has enrolment_id, contact_id, role, zone, due_at, first_due, expires_at, stands (NULL = may leave). The answer: the rows
    to select from, the cases (condition, reason) in order, and the instant until which those wait who wait.
    """
    placed = _placed(timed, limits, now)
    roomy = _roomy(placed, limits)
    ranked = _ranked(roomy, limits)
    r = ranked.c
    full = [sa.and_(r.stands.is_(None), r[f"room_{i}"] < r.rank) for i in range(len(limits.caps))]
    waits = [i for i, here in enumerate(limits.caps) if here.cap.wait_at_most is not None]
    skips = [full[i] for i in range(len(full)) if i not in waits]
    if not waits:
        return ranked, [(sa.or_(*skips), sa.literal(SkipReason.CAPPED.value))], sa.cast(sa.null(), sa.BigInteger())
    frees = [
        sa.case((full[i], sa.func.coalesce(_frees_at(ranked, limits, i), _NEVER))).label(f"free_{i}") for i in waits
    ]
    freeing = sa.select(*r, sa.or_(sa.false(), *skips).label("is_full"), *frees).offset(_NOUGHT).cte("freeing")
    f = freeing.c
    too_long = [f[f"free_{i}"] > f.first_due + _micros(limits.caps[i].cap.wait_at_most) for i in waits]
    latest: Column = f[f"free_{waits[0]}"]
    for i in waits[1:]:
        one = f[f"free_{i}"]
        latest = sa.case((sa.or_(latest.is_(None), one > latest), sa.func.coalesce(one, latest)), else_=latest)
    cases: list[tuple[sa.ColumnElement[bool], Column]] = [
        (sa.or_(f.is_full, *too_long), sa.literal(SkipReason.CAPPED.value)),
        (latest >= f.expires_at, sa.literal(SkipReason.EXPIRED.value)),
        (latest.is_not(None), sa.literal(WaitReason.CAP.value)),
    ]
    return freeing, cases, latest


def _placed(timed: sa.CTE, limits: MessageLimits, now: Micros) -> sa.CTE:
    """The candidates with the instant at which their own send would stand."""
    c = timed.c
    # Who is decided too late to be handed over in time will stand where it is handed over: now, at the earliest.
    stands_at = sa.case((c.due_at < now - PUNCTUAL, sa.literal(now, sa.BigInteger)), else_=c.due_at)
    return sa.select(*c, stands_at.label("stands_at")).cte("placed")


def _roomy(placed: sa.CTE, limits: MessageLimits) -> sa.CTE:
    """How many more each cap allows, before anybody of this slice is counted; NULL where it is not asked."""
    begins = _beginnings(placed, limits)
    c = placed.c
    rooms = [
        sa.case((c.stands.is_(None), here.allowed - _count(placed, begins, here, limits))).label(f"room_{i}")
        for i, here in enumerate(limits.caps)
    ]
    source: sa.FromClause = placed
    if begins is not None:
        source = placed.join(begins, sa.and_(begins.c.zone == c.zone, begins.c.at == c.stands_at))
    return sa.select(*c, *rooms).select_from(source).offset(_NOUGHT).cte("roomy")


def _beginnings(placed: sa.CTE, limits: MessageLimits) -> sa.CTE | None:
    """The beginning of each period of the calendar, once a zone and instant."""
    periods = sorted({here.cap.per for here in limits.caps if not isinstance(here.cap.per, Span)})
    if not periods:
        return None
    pair = sa.select(placed.c.zone, placed.c.stands_at.label("at")).distinct().offset(_NOUGHT).cte("cap_pair")
    begin = [localtime.period_start(pair.c.zone, pair.c.at, period).label(period) for period in periods]
    return sa.select(pair.c.zone, pair.c.at, *begin).offset(_NOUGHT).cte("begins")


def _begins_at(candidate: sa.FromClause, begins: sa.FromClause | None, cap: Cap) -> Column:
    """The last instant that is before the cap's window."""
    if isinstance(cap.per, Span):
        return candidate.c.stands_at - _micros(cap.per)
    if begins is None:
        return localtime.period_start(candidate.c.zone, candidate.c.stands_at, cap.per) - 1
    return begins.c[cap.per] - 1


def _count(candidate: sa.FromClause, begins: sa.FromClause | None, here: CapHere, limits: MessageLimits) -> Column:
    outside = [candidate] if begins is None else [candidate, begins]
    return (
        sa.select(sa.func.count())
        .select_from(t.send)
        .where(
            _of_person(candidate, here, limits),
            _is_in_window(_begins_at(candidate, begins, here.cap), here, limits, outside),
        )
        .correlate(*outside)
        .scalar_subquery()
    )


def _is_in_window(
    begins_at: Column, here: CapHere, limits: MessageLimits, outside: list[sa.FromClause]
) -> sa.ColumnElement[bool]:
    s = t.send.c
    # A look-up a send: joined, PostgreSQL began with all batches of the store and tried each of them for each person.
    its = sa.select(_stands_in(begins_at, limits)).where(t.batch.c.id == s.batch_id)
    looked_up = sa.func.coalesce(its.correlate(t.send, *outside).scalar_subquery(), sa.false())
    # Nearly all batches left in time: of their people the index says all that is asked.
    left_in_time = sa.and_(s.batch_id.is_not(None), s.due_at > begins_at)
    return sa.case((s.batch_id.in_(not_in_time(limits.scan_from)), looked_up), else_=left_in_time)


def _counts(
    candidate: sa.FromClause, begins_at: Column, here: CapHere, limits: MessageLimits
) -> sa.ColumnElement[bool]:
    """The sends, with their batches, that count for a cap whose window begins there."""
    return sa.and_(_of_person(candidate, here, limits), _stands_in(begins_at, limits))


def _of_person(candidate: sa.FromClause, here: CapHere, limits: MessageLimits) -> sa.ColumnElement[bool]:
    """The sends of the candidate's person that the cap is about."""
    s = t.send.c
    others = [] if limits.again is None else [s.batch_id != limits.again]
    mine = s.contact_id == candidate.c.contact_id
    channel = s.channel.not_in(sorted(OURS)) if here.cap.channel is None else s.channel == here.cap.channel
    # PostgreSQL finds them by the week.
    since_week = s.due_at // sa.literal_column(str(WEEK), sa.BigInteger) >= limits.scan_from // WEEK
    return sa.and_(
        mine, s.due_at >= limits.scan_from, since_week, s.outcome.is_(None), channel, *others, here.counted_nodes
    )


def _stands_in(begins_at: Column, limits: MessageLimits) -> sa.ColumnElement[bool]:
    """Whether a send still pends, or left within the window: by its batch."""
    later = sa.and_(t.batch.c.state.in_(_SENT), _place() > begins_at)
    return sa.or_(is_pending(limits.resends, wanted=limits.again is None), later)


def _place() -> Column:
    """Where a send that left stands in time."""
    s, b = t.send.c, t.batch.c
    return sa.case((b.claimed_at > s.due_at + PUNCTUAL, b.claimed_at), else_=s.due_at)


def _ranked(roomy: sa.CTE, limits: MessageLimits) -> sa.CTE:
    """Of several candidates of one person only so many pass as there is room; ghosts take none."""
    c = roomy.c
    if limits.once_a_person:
        return sa.select(*c, sa.literal(1).label("rank")).cte("ranked")
    takes = sa.and_(c.stands.is_(None), c.role == "treated", *(c[f"room_{i}"] > 0 for i in range(len(limits.caps))))
    place = sa.func.row_number().over(
        partition_by=[c.contact_id, sa.case((takes, 1), else_=0)], order_by=[c.due_at, c.enrolment_id]
    )
    rank = sa.case((takes, place), else_=1)
    return sa.select(*c, rank.label("rank")).offset(_NOUGHT).cte("ranked")


def _frees_at(ranked: sa.FromClause, limits: MessageLimits, number: int) -> Column:
    """When so many have left the window that there is room; NULL = never, however long one waits."""
    here, r = limits.caps[number], ranked.c
    if not isinstance(here.cap.per, Span):
        return sa.case((sa.literal(here.allowed) > 0, localtime.period_end(r.zone, r.stands_at, here.cap.per)))
    # What is pending can leave at any moment from now on: it is taken to stand where this one would.
    place = sa.case((sa.and_(t.batch.c.state.in_(_SENT), _place() > r.stands_at - _micros(here.cap.per)), _place()),
                    else_=sa.case((t.send.c.due_at > r.stands_at, t.send.c.due_at), else_=r.stands_at))  # fmt: skip
    sends = (
        sa.select(place.label("place"), sa.func.row_number().over(order_by=place).label("number"))
        .select_from(t.send.join(t.batch, t.batch.c.id == t.send.c.batch_id))
        .where(_counts(ranked, r.stands_at - _micros(here.cap.per), here, limits))
        .correlate(ranked)
        .subquery("leaving")
    )
    leaves = sa.select(sends.c.place).where(sends.c.number == r.rank - r[f"room_{number}"])
    return leaves.correlate(ranked).scalar_subquery() + _micros(here.cap.per)


def _micros(span: Span | Period | None) -> Micros:
    assert isinstance(span, Span)
    return span.seconds * SECOND

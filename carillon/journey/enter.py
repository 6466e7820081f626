"""Stage 4, enter: one wave an occurrence, its people frozen in the same transaction, so that repeating is harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import Subject, of_contact
from carillon.definition.conditions import TriggerIs
from carillon.definition.entries import Again, At, ByApi, Every, OnEvent
from carillon.experiment.holdout import role_of
from carillon.journey import cursor
from carillon.journey.ground import Ground
from carillon.journey.occasions import occasions
from carillon.journey.stand import Arriving, stand_at
from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.time.calendar import add_span
from carillon.plan.model import PlanEntry
from carillon.store import tables as t
from carillon.store.engine import rowcount
from carillon.store.json import text_at

UNDER_WAY, AGAIN, LATE = "under_way", "again", "late"
"""Why somebody who matched did not enter."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What one occurrence of an entry did."""

    entry: str
    ref: str
    n: int
    left_out: Mapping[str, int]


def enter(ground: Ground) -> list[Entered]:
    """Take in everybody whose occasion has come: scheduled waves, and the signals since the last look."""
    if ground.applied.wanted_state != "live":
        return []
    entered: list[Entered] = []
    for entry in ground.applied.plan.entries:
        match entry:
            case At() | Every():
                entered += _enter_scheduled(ground, entry)
            case OnEvent() | ByApi():
                entered += _enter_signalled(ground, entry)
            case _:
                assert_never(entry)
    return entered


def entry_key(entry: PlanEntry) -> str:
    """Kind and subject of an entry, never its place in the list: what a wave is known by."""
    return f"event:{entry.event}" if isinstance(entry, OnEvent) else entry.kind


def _enter_scheduled(ground: Ground, entry: At | Every) -> list[Entered]:
    w, entered = t.wave.c, []
    for occasion in occasions(ground, entry):
        mine = sa.and_(w.campaign_id == ground.applied.id, w.entry == entry_key(entry), w.ref == occasion.ref)
        with ground.store.write("ledger") as connection:
            if connection.scalar(sa.select(w.id).where(mine)) is None:
                people = candidates(ground, occasion.instant_for(t.standing.c.zone))
                late_before = ground.now - occasion.if_late
                entered.append(_take_in(connection, ground, entry, occasion.ref, occasion.at, people, late_before))
    return entered


def candidates(ground: Ground, arrived_at: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Everybody who matches the audience at this instant: what a wave takes in and what `plan` counts.

    Columns: contact_id, arrived_at, thing, trigger_at, trigger_hash, zone, h31.
    """
    nothing = sa.cast(sa.null(), sa.BigInteger())
    return (
        sa.select(
            t.contact.c.id.label("contact_id"),
            arrived_at.label("arrived_at"),
            sa.literal("").label("thing"),
            nothing.label("trigger_at"),
            nothing.label("trigger_hash"),
            t.standing.c.zone.label("zone"),
            t.standing.c.h31.label("h31"),
        )
        .join_from(t.contact, t.standing, t.standing.c.contact_id == t.contact.c.id)
        .where(t.contact.c.merged_into.is_(None), t.contact.c.erased_at.is_(None))
        .where(where(ground.applied.plan.audience, of_contact(), ground.moment))
    )


def _enter_signalled(ground: Ground, entry: OnEvent | ByApi) -> list[Entered]:
    entered = []
    with ground.store.write("ledger") as connection:
        consumer = f"enter:{ground.applied.id}:{entry_key(entry)}"
        low, high = cursor.span(connection, consumer)
        if low == high:
            return []
        people = _signalled(ground, entry, low, high)
        if connection.scalar(sa.select(sa.exists(people))):
            _renew_triggers(connection, ground, people)
            if entry.again not in ("always", "once_a_thing"):
                people = _signalled(ground, entry, low, high, once_a_person=True)
            entered.append(_take_in(connection, ground, entry, f"{low}-{high}", ground.now, people))
        cursor.advance(connection, consumer, high)
    return entered


def _signalled(
    ground: Ground, entry: OnEvent | ByApi, low: int, high: int, *, once_a_person: bool = False
) -> sa.Select[Any]:
    """Candidates named by signals: the newest trigger of each contact and thing, after the first apply and not too late.

    `once_a_person` takes the newest of each contact: two things that come at once are two entries of the same person.
    """
    told = _told(ground, entry, low, high).subquery("told")
    trigger = Subject(told.c.contact_id, enrolment=told, few=True)
    same = [told.c.contact_id] if once_a_person else [told.c.contact_id, told.c.thing]
    place = sa.func.row_number().over(partition_by=same, order_by=[told.c.happened_at.desc(), told.c.signal_id.desc()])
    ranked = (
        sa.select(*(c for c in told.c if c.name not in ("signal_id", "happened_at")), place.label("place"))
        .where(where(ground.applied.plan.audience, trigger, ground.moment))
        .where(where(TriggerIs(entry.where), trigger, ground.moment) if isinstance(entry, OnEvent) else sa.true())
        .subquery("ranked")
    )
    return sa.select(*(c for c in ranked.c if c.name != "place")).where(ranked.c.place == 1)


def _told(ground: Ground, entry: OnEvent | ByApi, low: int, high: int) -> sa.Select[Any]:
    """What signals in (low, high] say to this entry, happened after the first apply and not too late."""
    signal, ev, s = t.signal.c, t.event.c, t.standing.c
    happened_at = sa.func.coalesce(signal.event_at, signal.at)
    thing: sa.ColumnElement[Any] = signal.thing
    mine = sa.and_(signal.kind == "enter", signal.campaign_id == ground.applied.id)
    if isinstance(entry, OnEvent):
        thing = sa.func.coalesce(text_at(ev.props, (entry.once_per,)), "") if entry.once_per else sa.literal("")
        mine = sa.and_(signal.kind == "event", signal.subject == entry.event, signal.history == 0)
    return (
        sa.select(
            t.contact.c.id.label("contact_id"),
            sa.literal(ground.now, sa.BigInteger()).label("arrived_at"),
            thing.label("thing"),
            signal.event_at.label("trigger_at"),
            signal.event_hash.label("trigger_hash"),
            s.zone.label("zone"),
            s.h31.label("h31"),
            signal.id.label("signal_id"),
            happened_at.label("happened_at"),
        )
        .join_from(t.signal, t.contact, t.contact.c.id == signal.contact_id)
        .join(t.standing, s.contact_id == t.contact.c.id)
        .outerjoin(t.event, sa.and_(ev.occurred_at == signal.event_at, ev.hash64 == signal.event_hash))
        .where(signal.id > low, signal.id <= high, mine)
        .where(happened_at > ground.applied.first_applied_at, happened_at <= ground.now)
        .where(happened_at >= ground.now - entry.if_late.seconds * SECOND)
    )


def happened_candidates(ground: Ground, entry: OnEvent, since: Micros) -> sa.Select[Any]:
    """Whom the events since an instant would have taken in: what `plan` says of an event campaign."""
    ev, s = t.event.c, t.standing.c
    thing = sa.func.coalesce(text_at(ev.props, (entry.once_per,)), "") if entry.once_per else sa.literal("")
    told = (
        sa.select(
            ev.contact_id,
            ev.occurred_at.label("arrived_at"),
            thing.label("thing"),
            ev.occurred_at.label("trigger_at"),
            ev.hash64.label("trigger_hash"),
            s.zone.label("zone"),
            s.h31.label("h31"),
            sa.func.row_number()
            .over(partition_by=[ev.contact_id, thing], order_by=[ev.occurred_at.desc(), ev.hash64])
            .label("place"),
        )
        .join_from(t.event, t.standing, s.contact_id == ev.contact_id)
        .where(ev.kind == entry.event, ev.occurred_at > since, ev.occurred_at <= ground.now)
        .subquery("told")
    )
    trigger = Subject(told.c.contact_id, enrolment=told, few=True)
    return (
        sa.select(*(c for c in told.c if c.name != "place"))
        .where(told.c.place == 1)
        .where(where(ground.applied.plan.audience, trigger, ground.moment))
        .where(where(TriggerIs(entry.where), trigger, ground.moment))
    )


def _renew_triggers(connection: Connection, ground: Ground, people: sa.Select[Any]) -> None:
    """Who is under way for the same thing keeps going, with the newer event as the trigger."""
    e, p = t.enrolment.c, people.subquery("newer")
    connection.execute(
        t.enrolment.update()
        .where(e.campaign_id == ground.applied.id, e.state == "live")
        .where(e.contact_id == p.c.contact_id, e.thing == p.c.thing, p.c.trigger_at > e.trigger_at)
        .values(trigger_at=p.c.trigger_at, trigger_hash=p.c.trigger_hash)
    )


def _take_in(
    connection: Connection,
    ground: Ground,
    entry: PlanEntry,
    ref: str,
    at: Micros,
    people: sa.Select[Any],
    late_before: Micros | None = None,
) -> Entered:
    """Make the wave and its enrolments; to whom the occasion came before `late_before`, it came too late."""
    applied, plan = ground.applied, ground.applied.plan
    wave_id = connection.execute(
        t.wave.insert().values(
            campaign_id=applied.id, entry=entry_key(entry), ref=ref, snapshot_at=at, n=0, left_out={}
        )
    ).inserted_primary_key[0]  # type: ignore[index]
    p = people.subquery("candidate")
    reason = not_entered(ground, entry.again, p)
    if is_late := late_before is not None and at < late_before:
        reason = sa.case((p.c.arrived_at < late_before, LATE), else_=reason)
    # Where nobody ever entered nobody can be kept out: spare the second look at the audience.
    left_out = _left_out(connection, p, reason) if is_late or _has_history(connection, ground) else {}
    role = role_of(applied.seed, plan, ground.rules.holdout, p.c.h31)
    stand = stand_at(
        ground, plan, plan.first, Arriving(p.c.arrived_at, p.c.zone, p.c.h31, sa.literal(wave_id, sa.BigInteger()))
    )
    rows: Sequence[tuple[str, Any]] = (
        ("campaign_id", sa.literal(applied.id)), ("version_id", sa.literal(applied.live_version)),
        ("wave_id", sa.literal(wave_id)), ("contact_id", p.c.contact_id), ("thing", p.c.thing), ("role", role),
        ("node_id", stand.node_id), ("arrived_at", p.c.arrived_at), ("due_at", stand.due_at),
        ("entered_at", sa.literal(at, sa.BigInteger())), ("trigger_at", p.c.trigger_at), ("trigger_hash", p.c.trigger_hash),
    )  # fmt: skip
    taken = sa.select(*(column.label(name) for name, column in rows)).where(reason.is_(None)).order_by(p.c.contact_id)
    n = rowcount(connection.execute(t.enrolment.insert().from_select([name for name, _ in rows], taken)))
    return _count(connection, wave_id, entry, ref, n, left_out)


def _count(
    connection: Connection, wave_id: int, entry: PlanEntry, ref: str, n: int, left_out: dict[str, int]
) -> Entered:
    connection.execute(t.wave.update().where(t.wave.c.id == wave_id).values(n=n, left_out=left_out))
    return Entered(entry_key(entry), ref, n, left_out)


def _has_history(connection: Connection, ground: Ground) -> bool:
    earlier = sa.select(t.enrolment.c.id).where(t.enrolment.c.campaign_id == ground.applied.id).limit(1)
    return connection.scalar(earlier) is not None


def _left_out(connection: Connection, people: sa.Subquery, reason: sa.ColumnElement[Any]) -> dict[str, int]:
    rows = connection.execute(
        sa.select(reason, sa.func.count()).select_from(people).where(reason.is_not(None)).group_by(reason)
    )
    return {why: int(n) for why, n in rows}


def not_entered(ground: Ground, again: Again, people: sa.Subquery) -> sa.ColumnElement[Any]:
    """Why a candidate does not enter, or NULL: under way for the same thing, or not allowed again yet."""
    e = t.enrolment.c
    mine = sa.select(e.id).where(e.campaign_id == ground.applied.id, e.contact_id == people.c.contact_id)
    same_thing = mine.where(e.thing == people.c.thing)
    rules: list[tuple[sa.ColumnElement[bool], str]] = [(sa.exists(same_thing.where(e.state == "live")), UNDER_WAY)]
    match again:
        case "always":
            pass
        case "never":
            rules.append((sa.exists(mine), AGAIN))
        case "once_a_thing":
            rules.append((sa.exists(same_thing), AGAIN))
        case _:
            since = add_span(ground.rules.timezone, ground.now, seconds=-again.seconds, months=-again.months)
            rules.append((sa.exists(mine.where(e.entered_at > since)), AGAIN))
            rules.append((sa.and_(people.c.thing != "", sa.exists(same_thing)), AGAIN))
    return sa.case(*rules)

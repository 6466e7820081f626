"""What the store knows of some contacts, as plain facts: for `explain` and the column "why" of `segment show`.

A handful of set queries for all of them together; whole audiences are never read this way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from carillon.audience.analyst import analyst_holds
from carillon.audience.coupons import spelt
from carillon.audience.facts import CouponFact, EnrolmentFact, EventFact, Facts, Journey, SendFact
from carillon.audience.fields import BUILT_IN
from carillon.audience.moment import Moment, Permissions
from carillon.audience.since import reached
from carillon.definition.conditions import All, AnyOf, Condition, InSegment, Not, Sql
from carillon.kernel.channels import OURS
from carillon.store import tables as t
from carillon.store.bulk import many
from carillon.store.by_contact import same_event


def facts_of(
    connection: Connection, contact_ids: Sequence[int], at: Moment, *, pairs: Iterable[tuple[str, str]] = (), sql: Iterable[str] = ()
) -> dict[int, Facts]:  # fmt: skip
    """Contact id → what is known; `pairs` are the (topic, channel) whose consent matters, `sql` analysts' expressions."""
    wanted = tuple(dict.fromkeys(pairs))
    events = _by_contact(connection, _events(contact_ids, at))
    sends = _by_contact(connection, _sends(contact_ids))
    enrolments = _by_contact(connection, _enrolments(contact_ids))
    pools = connection.scalars(sa.select(t.coupon.c.pool).distinct()).all()
    coupons = _by_contact(connection, _coupons(contact_ids, pools))
    lists = _by_contact(connection, sa.select(t.list_member).where(t.list_member.c.contact_id.in_(many(contact_ids))))
    permitted, reachable = _standing(connection, contact_ids, wanted, at.permissions)
    answers = {text: set(connection.scalars(_analyst(contact_ids, text, at))) for text in sql}
    contacts = connection.execute(sa.select(t.contact).where(t.contact.c.id.in_(many(contact_ids))))
    return {
        row.id: Facts(
            fields=fields_of(row._mapping),
            events=tuple(EventFact(e.kind, e.occurred_at, e.props) for e in events[row.id]),
            sends=tuple(_send(s) for s in sends[row.id]),
            enrolments=tuple(EnrolmentFact(e.name, e.entered_at, e.state == "live") for e in enrolments[row.id]),
            coupons=tuple(
                CouponFact(c.pool, c.code, c.enrolment_id, c.valid_until, c.redeemed_at) for c in coupons[row.id]
            ),
            lists=frozenset(found.list for found in lists[row.id]),
            permitted=frozenset(pair for pair in wanted if row.id in permitted[pair]),
            open_channels=frozenset(channel for channel, ids in reachable.items() if row.id in ids),
            sql={text: row.id in ids for text, ids in answers.items()},
        )
        for row in contacts
    }


def journey_of(connection: Connection, enrolment_id: int, at: Moment, steps: Iterable[str] = ()) -> Journey:
    """The enrolment that a journey's conditions are asked of; `steps` are those that `since:` names."""
    e = t.enrolment
    asked = dict.fromkeys(steps)
    columns = [reached(step, e, at).label(f"step_{number}") for number, step in enumerate(asked)]
    row = connection.execute(sa.select(e, *columns).where(e.c.id == enrolment_id)).one()
    instants = {step: row._mapping[f"step_{number}"] for number, step in enumerate(asked)}
    return Journey(
        enrolment=enrolment_id,
        entered_at=row.entered_at,
        reached={step: instant for step, instant in instants.items() if instant is not None},
        trigger=_props(connection, (row.trigger_at, row.trigger_hash)),
        answer=_props(connection, (row.answer_at, row.answer_hash)),
    )


def fields_of(contact: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of `core.contact` as fields by the names of data.yaml."""
    built_in = {name: contact[column] for name, column in BUILT_IN.items() if contact[column] is not None}
    return {**contact["attrs"], **built_in}


def expressions_of(condition: Condition, segments: Mapping[str, Condition]) -> frozenset[str]:
    """The analysts' SQL in a condition, which `facts_of` has to ask of the store."""
    match condition:
        case Sql(text):
            return frozenset({text})
        case All(parts) | AnyOf(parts):
            return frozenset().union(*(expressions_of(part, segments) for part in parts))
        case Not(part):
            return expressions_of(part, segments)
        case InSegment(name) if name in segments:
            return expressions_of(segments[name], {k: v for k, v in segments.items() if k != name})
        case _:
            return frozenset()


def _by_contact(connection: Connection, query: sa.Select[Any]) -> Mapping[int, list[Row[Any]]]:
    found: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.contact_id].append(row)
    return found


def _events(ids: Sequence[int], at: Moment) -> sa.Select[Any]:
    own, event = t.contact_event.c, t.event.c
    return (
        sa.select(own.contact_id, own.kind, own.occurred_at, event.props)
        .join_from(t.contact_event, t.event, same_event(t.contact_event, t.event))
        .where(own.contact_id.in_(many(ids)), own.occurred_at <= at.now)
        .order_by(own.occurred_at)
    )


def _sends(ids: Sequence[int]) -> sa.Select[Any]:
    s, b, r = t.send, t.batch, t.response
    same_send = sa.and_(r.c.node_id == s.c.node_id, r.c.enrolment_id == s.c.enrolment_id)
    return (
        sa.select(
            s.c.contact_id, s.c.enrolment_id, s.c.channel, t.campaign.c.name, t.node.c.step_id,
            sa.func.coalesce(s.c.outcome, b.c.state).label("state"),
            sa.func.coalesce(b.c.claimed_at, s.c.due_at).label("at"),
            r.c.bounced_at, r.c.first_open, r.c.machine_open, r.c.first_click,
        )
        .select_from(
            s.outerjoin(b, b.c.id == s.c.batch_id)
            .outerjoin(r, same_send)
            .join(t.node, t.node.c.id == s.c.node_id)
            .join(t.campaign, t.campaign.c.id == t.node.c.campaign_id)
        )
        .where(s.c.contact_id.in_(many(ids)), s.c.channel.not_in(OURS))
    )  # fmt: skip


def _send(row: Row[Any]) -> SendFact:
    return SendFact(
        row.name, row.step_id, row.channel, row.at, row.state, row.enrolment_id, row.bounced_at,
        row.first_open, row.machine_open, row.first_click,
    )  # fmt: skip


def _enrolments(ids: Sequence[int]) -> sa.Select[Any]:
    e = t.enrolment
    return (
        sa.select(e.c.contact_id, e.c.entered_at, e.c.state, t.campaign.c.name)
        .join_from(e, t.campaign, t.campaign.c.id == e.c.campaign_id)
        .where(e.c.contact_id.in_(many(ids)))
    )


def _coupons(ids: Sequence[int], pools: Sequence[str]) -> sa.Select[Any]:
    c, e, r = t.coupon, t.enrolment, t.redemption
    return (
        sa.select(e.c.contact_id, c.c.pool, c.c.code, c.c.enrolment_id, c.c.valid_until, r.c.at.label("redeemed_at"))
        .join_from(e, c, sa.and_(c.c.pool.in_(pools), c.c.enrolment_id == e.c.id))
        .join(t.campaign, t.campaign.c.id == e.c.campaign_id)
        .outerjoin(r, r.c.code == spelt(c.c.code))
        .where(e.c.contact_id.in_(many(ids)))
        .order_by(c.c.pool, c.c.code)
    )


def _standing(
    connection: Connection, ids: Sequence[int], pairs: Sequence[tuple[str, str]], permissions: Permissions | None
) -> tuple[dict[tuple[str, str], set[int]], dict[str, set[int]]]:
    """Who may be written to: (topic, channel) → ids whose consent stands, channel → ids with an open address."""
    if permissions is None:
        return {pair: set() for pair in pairs}, {}
    row = t.standing
    query = sa.select(row.c.contact_id).where(row.c.contact_id.in_(many(ids)))
    allowed = {
        (topic, channel): set(connection.scalars(query.where(permissions.allowed(row, topic, channel))))
        for topic, channel in pairs
    }
    channels = dict.fromkeys(channel for _, channel in pairs)
    return allowed, {c: set(connection.scalars(query.where(permissions.open(row, c)))) for c in channels}


def _analyst(ids: Sequence[int], text: str, at: Moment) -> sa.Select[tuple[int]]:
    contact = t.contact.c.id
    return sa.select(contact).where(contact.in_(many(ids)), analyst_holds(text, contact, at.now))


def _props(connection: Connection, key: tuple[int | None, int | None]) -> Mapping[str, Any] | None:
    event = t.event.c
    found = connection.execute(
        sa.select(event.props).where(event.occurred_at == key[0], event.hash64 == key[1])
    ).scalar()
    return found if isinstance(found, dict) else None

"""Resend: people whose hand-over is unknown, and who are wanted to be written to once more, pass reserve's decision first.

A decision (`if_unsure`, or a person's) marks the batch with `resend_at`. It stays unsure, so that a report may still
settle it, until the next reserve pass asks for each of its people what reserve asks: exits and conditions, limits and
consent as of now. Who may have it is ready again; who must wait stays unsure, and is asked again then; who may not is
closed with the reason: the first hand-over may have reached them, so they count as unsure and never as skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import of_enrolment
from carillon.delivery.desk import Reserved
from carillon.delivery.evidence import write_decision
from carillon.delivery.parting import among, not_sent_again, part_off, unleased
from carillon.delivery.question import question_of
from carillon.delivery.turns import take_pass
from carillon.journey.exits import exit_conditions
from carillon.journey.ground import Ground
from carillon.journey.stand import FINISHED
from carillon.kernel.clock import Micros
from carillon.plan.model import MessageNode, Plan
from carillon.policy.decide import KEEPS, decisions
from carillon.policy.words import SkipReason
from carillon.store import tables as t


def resend(grounds: Iterable[Ground], *, machine_now: Micros) -> dict[str, list[Reserved]]:
    """Decide for everybody who is wanted once more in these campaigns, batch by batch; what was decided a message."""
    done: dict[str, list[Reserved]] = {}
    for ground in sorted(grounds, key=lambda g: (-g.applied.plan.priority, g.applied.name)):
        for batch_id in _wanted(ground):
            with ground.store.write("ledger") as connection:
                take_pass(connection)
                done.setdefault(ground.applied.name, []).extend(_ask(connection, ground, batch_id, machine_now))
    return {campaign: decided for campaign, decided in done.items() if decided}


def _is_wanted(now: Micros) -> sa.ColumnElement[bool]:
    return sa.and_(t.batch.c.state == "unsure", t.batch.c.resend_at <= now)


def _wanted(ground: Ground) -> Sequence[int]:
    b = t.batch.c
    mine = sa.and_(b.campaign_id == ground.applied.id, _is_wanted(ground.now))
    with ground.store.read() as connection:
        return connection.scalars(sa.select(b.id).where(mine).order_by(b.priority.desc(), b.due_at, b.id)).all()


@dataclass(frozen=True, slots=True)
class _Fate:
    """What some people of the batch share: ready again, asked again at `until`, or closed for `reason`."""

    enrolments: Sequence[int]
    reason: str | None = None
    until: Micros | None = None
    not_after: Micros | None = None


def _ask(connection: Connection, ground: Ground, batch_id: int, machine_now: Micros) -> list[Reserved]:
    b = t.batch.c
    row = connection.execute(
        sa.select(b.node_id).where(b.id == batch_id, _is_wanted(ground.now)).with_for_update()
    ).one_or_none()
    if row is None:  # a report or another pass came first
        return []
    told = []
    for version_id, plan in ground.applied.versions.items():
        for node in (n for n in plan.messages if ground.applied.nodes[n.id] == row.node_id):
            fates = _fates(connection, ground, version_id, plan, node, batch_id)
            told.append(_tally(node.id, fates))
            _part(connection, batch_id, fates, ground.now, machine_now)
    if not any(one.decided for one in told):  # their rows are gone from the store: a person has to look
        connection.execute(sa.update(t.batch).where(b.id == batch_id).values(resend_at=None))
    return [one for one in told if one.decided]


def _fates(
    connection: Connection, ground: Ground, version_id: int, plan: Plan, node: MessageNode, batch_id: int
) -> list[_Fate]:
    """The people of the batch by what is decided for them now: those who may have it first, then who waits, then the others."""
    question = question_of(connection, ground, plan, node)
    # Their money was set aside when they were first reserved, and was not given back.
    question = replace(question, limits=replace(question.limits, again=batch_id, once_a_person=False), purse=None)
    if question.stock is not None:  # they have their codes, and no other is set aside here
        question = replace(question, stock=replace(question.stock, left=0))
    people = _people(ground.applied.nodes[node.id], version_id, batch_id)
    d = decisions(question, people).subquery("decided").c
    e = t.enrolment.c
    reason = sa.case((_has_left(ground, plan), SkipReason.EXITED.value), else_=d.reason)
    rows = connection.execute(
        sa.select(d.enrolment_id, d.not_after, reason.label("reason"), d.wait_until)
        .join_from(t.enrolment, t.contact, t.contact.c.id == e.contact_id)
        .join(t.standing, t.standing.c.contact_id == e.contact_id)
        .join(d.enrolment_id.table, d.enrolment_id == e.id)
        .order_by(d.enrolment_id)
    ).all()
    alike: dict[tuple[bool, Micros, str], list[sa.Row[Any]]] = {}
    for one in rows:
        waits = one.wait_until if one.reason != SkipReason.EXITED else None
        alike.setdefault((one.reason is not None and waits is None, waits or 0, one.reason or ""), []).append(one)
    return [_fate(reason or None, until or None, same) for (_, until, reason), same in sorted(alike.items())]


def _fate(reason: str | None, until: Micros | None, rows: Sequence[sa.Row[Any]]) -> _Fate:
    ends = [row.not_after for row in rows if row.not_after is not None]
    return _Fate([row.enrolment_id for row in rows], reason, until, min(ends, default=None))


def _people(node_id: int, version_id: int, batch_id: int) -> sa.Subquery:
    """The open people of the batch as they stood when they were due at it, wherever they have gone since."""
    e, s = t.enrolment.c, t.send.c
    as_then = {
        "node_id": sa.literal(node_id, sa.BigInteger()),
        "due_at": s.due_at,
        "arrived_at": sa.case((e.node_id == node_id, e.arrived_at), else_=s.due_at),
    }
    return (
        sa.select(*(as_then[c.name].label(c.name) if c.name in as_then else c for c in e))
        .join_from(t.send, t.enrolment, e.id == s.enrolment_id)
        .where(s.batch_id == batch_id, s.outcome.is_(None), e.version_id == version_id)
        .subquery("due")
    )


def _has_left(ground: Ground, plan: Plan) -> sa.ColumnElement[bool]:
    """Who exited since, or fulfils an exit condition now: asked of those, too, who have come to the end meanwhile."""
    e = t.enrolment.c
    subject = of_enrolment(contact=t.contact, standing=t.standing)
    asked = [
        sa.func.coalesce(where(condition, subject, ground.moment), sa.false()) for _, condition in exit_conditions(plan)
    ]
    return sa.or_(sa.and_(e.state == "done", e.exit_code != FINISHED), *asked)


def _part(connection: Connection, batch_id: int, fates: Sequence[_Fate], now: Micros, machine_now: Micros) -> None:
    """The first fate is the batch's own; each other's people go into a child."""
    for fate in fates[1:]:
        columns = _columns(fate, now)
        child, _ = part_off(connection, batch_id, among(fate.enrolments), columns.pop("state"), **columns)
        _write_close(connection, child, fate, machine_now)
    if fates:
        b = t.batch
        connection.execute(sa.update(b).where(b.c.id == batch_id).values(**_columns(fates[0], now)))
        _write_close(connection, batch_id, fates[0], machine_now)


def _write_close(connection: Connection, batch_id: int, fate: _Fate, machine_now: Micros) -> None:
    if fate.reason is not None and fate.until is None:
        write_decision(connection, batch_id, "close", not_sent_again(fate.reason), machine_now)


def _columns(fate: _Fate, now: Micros) -> dict[str, Any]:
    if fate.reason is None:
        ready = {"state": "ready", "not_after": fate.not_after, "ask_at": now + KEEPS}
        return unleased() | ready | {"retry_at": None, "settled_at": None}
    if fate.until is not None:
        return {"state": "unsure", "resend_at": fate.until}
    return {"state": "closed", "note": not_sent_again(fate.reason), "settled_at": now, "lease_until": None}


def _tally(step_id: str, fates: Sequence[_Fate]) -> Reserved:
    told = Reserved(step_id)
    for fate in fates:
        n: Mapping[str, int] = {fate.reason or "": len(fate.enrolments)}
        if fate.reason is None:
            told.ready += len(fate.enrolments)
        elif fate.until is not None:
            told.waiting.update(n)
        else:
            told.skipped.update(n)
    return told

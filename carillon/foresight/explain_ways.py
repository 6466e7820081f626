"""Every way of one contact through a campaign, with all that is written down about it: what was decided, sent, answered,
waited for, and on which version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.evaluation.collect import conversions
from carillon.foresight.explain_codes import code_story
from carillon.foresight.explain_moves import Moved, moves_of
from carillon.foresight.explain_waits import waits_of
from carillon.journey.acts import DONE, REFUSED, SPARED
from carillon.journey.ground import Ground
from carillon.kernel.clock import SECOND, Micros, from_micros
from carillon.store import tables as t
from carillon.store.by_contact import same_event


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that is written down about this contact: when, where, what."""

    at: Micros | None
    step: str
    what: str
    why: str = ""
    since: Micros | None = None
    """When it began, where it took its time: a wait."""


@dataclass(frozen=True, slots=True)
class Way:
    """One enrolment, from entry to where it is now."""

    id: int
    thing: str
    role: str
    version: int
    entered_at: Micros
    stands_at: str | None
    due_at: Micros | None
    exit_code: str | None
    ended_at: Micros | None
    happenings: tuple[Happening, ...]
    entry: str = ""
    """By which it came, as waves name it."""
    trigger_at: Micros | None = None
    """The newest event of its thing."""
    applied_at: Micros | None = None
    """When its version was applied."""
    moves: tuple[Moved, ...] = ()
    """How it came onto its version from older ones."""


def ways_of_contact(connection: Connection, ground: Ground, contact_id: int) -> Iterator[Way]:
    e, n, w, v = t.enrolment.c, t.node.c, t.wave.c, t.version.c
    rows = connection.execute(
        sa.select(t.enrolment, n.step_id, w.entry, w.ref, v.applied_at)
        .outerjoin_from(t.enrolment, t.node, n.id == e.node_id)
        .outerjoin(t.wave, w.id == e.wave_id)
        .outerjoin(t.version, v.id == e.version_id)
        .where(e.campaign_id == ground.applied.id, e.contact_id == contact_id)
        .order_by(e.id)
    ).all()
    for row in rows:
        moves = moves_of(connection, row.id)
        waits = list(waits_of(connection, ground, row, moves))
        waited_for = {wait.step for wait in waits}
        told = [
            *(Happening(w.ended_at, w.step, w.what, w.why, w.began_at) for w in waits),
            *(Happening(m.at, m.step, m.what, m.why) for m in moves),
            *(passed for passed in _passages(connection, row.id) if passed.step not in waited_for),
            *(Happening(*told) for told in code_story(connection, ground, row.id)),
            *_sends(connection, row.id),
            *_reports(connection, contact_id, row.id),
            *_conversions(connection, ground, row),
        ]
        yield Way(
            id=row.id,
            thing=row.thing,
            role=row.role,
            version=row.version_id,
            entered_at=row.entered_at,
            stands_at=row.step_id if row.state == "live" else None,
            due_at=row.due_at,
            exit_code=row.exit_code,
            ended_at=row.ended_at,
            happenings=tuple(sorted(told, key=lambda h: (h.at is None, h.at or 0))),
            entry=row.entry or "",
            trigger_at=row.trigger_at,
            applied_at=row.applied_at,
            moves=moves,
        )


_ACTED = {
    DONE: "done",
    SPARED: "not done: of the holdout",
    REFUSED: "not done: the other campaign takes nobody in",
}


def _passages(connection: Connection, enrolment_id: int) -> Iterator[Happening]:
    p, n = t.passage.c, t.node.c
    rows = connection.execute(
        sa.select(p.at, n.step_id, p.branch)
        .join_from(t.passage, t.node, n.id == p.node_id)
        .where(p.enrolment_id == enrolment_id)
    )
    for at, step, branch in rows:
        yield Happening(at, step, _ACTED.get(branch, f"took {branch}"))


def _sends(connection: Connection, enrolment_id: int) -> Iterator[Happening]:
    s, b, n, a = t.send.c, t.batch.c, t.node.c, t.attempt.c
    rows = connection.execute(
        sa.select(
            n.step_id, s.arm, s.channel, s.outcome, s.due_at, sa.func.coalesce(s.decided_at, b.decided_at).label("decided_at"), s.batch_id, b.state, b.claimed_at, b.connector,
            b.note, b.texts_at,
        )
        .join_from(t.send, t.node, n.id == s.node_id)
        .outerjoin(t.batch, b.id == s.batch_id)
        .where(s.enrolment_id == enrolment_id)
    ).all()  # fmt: skip
    for row in rows:
        arm = f" ({row.arm})" if row.arm else ""
        outcome = row.outcome or row.state
        what = outcome.replace("skipped:", "skipped: ") if outcome else "decided"
        what += f", the texts of {from_micros(row.texts_at):%Y-%m-%d %H:%M} UTC" if row.texts_at else ""
        at = row.claimed_at or row.decided_at
        if at - row.due_at >= SECOND:
            what += f", due since {from_micros(row.due_at):%Y-%m-%d %H:%M:%S} UTC"
        yield Happening(at, row.step_id, f"{row.channel}{arm} {what}", row.note or "")
        if row.batch_id is None:
            continue
        attempts = connection.execute(
            sa.select(a.no, a.status, a.note).where(a.batch_id == row.batch_id).order_by(a.no)
        )
        for no, status, note in attempts:  # their own instants are machine time: not to be sorted among these
            what = f"attempt {no} of batch {row.batch_id} by {row.connector}: {status}"
            yield Happening(row.claimed_at or row.decided_at, row.step_id, what, note or "")


def _conversions(connection: Connection, ground: Ground, way: sa.Row[Any]) -> Iterator[Happening]:
    """What counts for the goal of the version that they are on, or of the live one where that is gone."""
    goal = ground.applied.versions.get(way.version_id, ground.applied.plan).goal
    if goal is None:
        return
    for at, cents in connection.execute(conversions(way.id, goal, ground.moment)):
        money = f"{cents / 100:,.2f} {ground.rules.currency}" if cents else ""
        yield Happening(at, "goal", f"{goal.event} counts" if cents >= 0 else f"{goal.event} taken back", money)


def _reports(connection: Connection, contact_id: int, enrolment_id: int) -> Iterator[Happening]:
    own, ev, n = t.contact_event.c, t.event.c, t.node.c
    rows = connection.execute(
        sa.select(ev.occurred_at, n.step_id, ev.kind, ev.props)
        .join_from(t.contact_event, t.event, same_event(t.contact_event, t.event))
        .join(t.node, n.id == ev.node_id)
        .where(own.contact_id == contact_id, ev.enrolment_id == enrolment_id)
        .where(own.kind >= "message.", own.kind < "message/")
    )
    for at, step, kind, props in rows:
        machine = f", by a machine ({props['machine']})" if "machine" in props else ""
        yield Happening(
            at, step, kind.removeprefix("message.") + machine, props.get("reason") or props.get("url") or ""
        )

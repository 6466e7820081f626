"""Which campaigns should have been advanced by an instant and were not."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.definition.entries import OnSegment, Scheduled, entry_key
from carillon.delivery.reclaim import has_lapsed
from carillon.delivery.unsure import has_due_resend, policy_of
from carillon.journey.ground import Ground, load_ground
from carillon.journey.members import next_look
from carillon.journey.occasions import occasions
from carillon.journey.ripen import has_ripe
from carillon.kernel.clock import SECOND, Micros
from carillon.plan.applied import applied_names
from carillon.store import tables as t
from carillon.store.engine import Store

PATIENCE: Micros = 90 * SECOND
"""So long a run of Prefect's own may be late before the engine advances the campaign itself: within two minutes, with
the time until somebody looks."""


def overdue(store: Store, by: Micros, machine_now: Micros) -> list[str]:
    """Running campaigns with a person, a batch or an occasion that was due by then and is still open, and those that a
    killed process was handing over: what it had claimed is nobody's."""
    with store.read() as connection:
        names = applied_names(connection)
    grounds = (load_ground(store, name, by) for name in names)
    return [g.applied.name for g in grounds if g.applied.is_running and _is_overdue(g, machine_now)]


def _is_overdue(ground: Ground, machine_now: Micros) -> bool:
    e, s, b, w = t.enrolment.c, t.send.c, t.batch.c, t.wave.c
    mine = sa.and_(e.campaign_id == ground.applied.id, e.state == "live", e.due_at <= ground.now)
    for version_id, gate in ground.gates.items():  # who waits for a person's yes is not late
        mine = sa.and_(mine, sa.or_(e.version_id != version_id, gate))
    # Who waited for a yes is late from the yes on: the run that it asked for comes first.
    said_since = sa.exists().where(t.approval.c.campaign_id == e.campaign_id, t.approval.c.at > ground.now)
    mine = sa.and_(mine, sa.not_(said_since))
    decided = sa.exists().where(s.node_id == e.node_id, s.enrolment_id == e.id)
    ready = sa.and_(b.campaign_id == ground.applied.id, b.state == "ready", b.due_at <= ground.now)
    with ground.store.read() as connection:
        if connection.scalar(sa.select(e.id).where(mine, sa.not_(decided)).limit(1)) is not None:
            return True
        if connection.scalar(sa.select(b.id).where(ready).limit(1)) is not None:
            return True
        if has_lapsed(connection, ground.applied.id, machine_now):
            return True
        if has_due_resend(connection, ground.applied.id, policy_of(ground.rules, ground.applied.plan), ground.now):
            return True
        if ground.applied.wanted_state != "live":
            return False
        if has_ripe(connection, ground):
            return True
        for entry in ground.applied.plan.entries:
            if isinstance(entry, OnSegment) and next_look(connection, ground, entry) <= ground.now:
                return True
            if not isinstance(entry, Scheduled):
                continue
            for occasion in occasions(ground, entry):
                known = sa.select(w.id).where(
                    w.campaign_id == ground.applied.id, w.entry == entry_key(entry), w.ref == occasion.ref
                )
                if occasion.is_recent(ground.now) and connection.scalar(known) is None:
                    return True
    return False

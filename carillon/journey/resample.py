"""After a test's words were changed: of those who wait for its leader another sample is drawn, which is due at once."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from carillon.experiment.split import is_in_sample
from carillon.journey.ground import Ground
from carillon.plan.generations import generations_of
from carillon.store import tables as t
from carillon.store.engine import rowcount


def resample(ground: Ground) -> Counter[str]:
    """Let the sample of each restarted test fall due; returns step → people. Nobody is drawn who has a send already."""
    drawn: Counter[str] = Counter()
    e, s, h31 = t.enrolment.c, t.send.c, t.standing.c.h31
    tests = {n.id: n.test.send_leader.sample for p in ground.applied.versions.values() for n in p.messages if n.test and n.test.send_leader}  # fmt: skip
    for step_id, sample in tests.items():
        node_id = ground.applied.nodes[step_id]
        with ground.store.read() as connection:
            generations = generations_of(connection, node_id)
        if len(generations) < 2:
            continue
        in_it = is_in_sample(generations[-1].name, e.wave_id, sample, h31)
        mine = sa.select(e.id).join_from(t.enrolment, t.standing, t.standing.c.contact_id == e.contact_id).where(in_it)
        waits = sa.and_(e.campaign_id == ground.applied.id, e.node_id == node_id, e.state == "live", e.due_at.is_(None))
        sent = sa.exists().where(s.node_id == node_id, s.enrolment_id == e.id)
        with ground.store.write("ledger") as connection:
            due = (
                t.enrolment.update().where(waits, sa.not_(sent), e.id.in_(mine.where(waits))).values(due_at=ground.now)
            )
            drawn[step_id] += rowcount(connection.execute(due))
    return +drawn

"""Stage 6, leader: when a test's sample has had its time, the leader is written down and the rest gets its hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.model import SendLeader
from carillon.evaluation.choosing import choose_leader
from carillon.evaluation.collect import collect
from carillon.evaluation.compare import sample_ratio
from carillon.evaluation.exposed import of_test
from carillon.evaluation.model import Leader
from carillon.experiment.split import even_arms
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros
from carillon.kernel.time.calendar import add_span
from carillon.plan.generations import generations_of
from carillon.plan.model import MessageNode, Plan
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.engine import rowcount


@dataclass(frozen=True, slots=True)
class _Open:
    """A wave whose rest stands at a tested message and waits."""

    plan: Plan
    node: MessageNode
    rule: SendLeader
    wave_id: int
    decide_at: Micros


def lead(ground: Ground) -> Counter[str]:
    """Choose the leaders that are due; returns `step: arm` → people of the rest who now have their hour."""
    chosen: Counter[str] = Counter()
    with ground.store.read() as connection:
        due = [test for test in _open_tests(connection, ground) if test.decide_at <= ground.now]
    for test in due:
        with ground.store.read() as connection:
            leader = _choose(connection, ground, test)
        with ground.store.write("ledger") as connection:
            n = _decide(connection, ground, test, leader)
        chosen[f"{test.node.id} → {leader.arm or f'split ({leader.reason})'}"] += n
    return chosen


def next_decision(ground: Ground) -> Micros | None:
    """When the next leader is to be chosen; None where nobody waits for one."""
    with ground.store.read() as connection:
        return min((test.decide_at for test in _open_tests(connection, ground)), default=None)


def _open_tests(connection: Connection, ground: Ground) -> Iterator[_Open]:
    e, s, b = t.enrolment.c, t.send.c, t.batch.c
    for version_id, plan in ground.applied.versions.items():
        for node in plan.messages:
            if node.test is None or node.test.send_leader is None:
                continue
            node_id, rule = ground.applied.nodes[node.id], node.test.send_leader
            *_, asked = generations_of(connection, node_id)
            here = sa.and_(e.node_id == node_id, e.state == "live", e.version_id == version_id)
            for wave_id in connection.scalars(sa.select(e.wave_id).where(here, e.due_at.is_(None)).distinct()).all():
                # Whose hand-over was late has had less time to answer.
                left_at = sa.case((b.claimed_at > s.due_at, b.claimed_at), else_=s.due_at)
                sampled = connection.scalar(
                    sa.select(sa.func.max(left_at))
                    .join_from(t.send, t.enrolment, e.id == s.enrolment_id)
                    .outerjoin(t.batch, b.id == s.batch_id)
                    .where(
                        s.node_id == node_id,
                        e.wave_id == wave_id,
                        asked.owns(sa.func.coalesce(b.texts_at, s.decided_at, b.decided_at)),
                    )
                )
                # A ghost stands here too, with the end of its goal's window as its instant: it is not awaited.
                undecided = sa.not_(sa.exists().where(s.node_id == node_id, s.enrolment_id == e.id))
                ahead = connection.scalar(sa.select(sa.func.max(e.due_at)).where(here, e.wave_id == wave_id, undecided))
                if ahead is not None and ahead <= ground.now:
                    continue  # paused, held or not approved yet: the sample has not left
                last = max((at for at in (sampled, ahead) if at is not None), default=None)
                # A sample of nobody: there is nothing to wait for.
                decide_at = ground.now if last is None else _after(ground, last, rule)
                yield _Open(plan, node, rule, wave_id, decide_at)


def _after(ground: Ground, last: Micros, rule: SendLeader) -> Micros:
    return add_span(ground.rules.timezone, last, seconds=rule.after.seconds, months=rule.after.months)


def _choose(connection: Connection, ground: Ground, test: _Open) -> Leader:
    assert test.node.test is not None
    arms = test.node.test.variants
    node_id = ground.applied.nodes[test.node.id]
    experiment = ground.applied.experiment(test.node.id)
    *_, asked = generations_of(connection, node_id)
    exposed = of_test(node_id, wave_id=test.wave_id, experiment=experiment, sample=test.rule.sample, generation=asked)
    figures = collect(connection, exposed, arms, [node_id], test.plan.goal, ground.moment)
    shares = [share for _, share in even_arms(arms)]
    observed = [f.exposed for f in figures]
    return choose_leader(
        figures,
        test.rule.by,
        min_events=test.rule.min_events,
        policy=test.rule.policy,
        is_mismatched=bool(sum(observed)) and sample_ratio(observed, shares).blocks,
    )


def _decide(connection: Connection, ground: Ground, test: _Open, leader: Leader) -> int:
    """Write the leader and give the rest its hour, in one transaction."""
    e, zone = t.enrolment.c, t.standing.c.zone
    connection.execute(
        t.leader.insert().values(
            experiment=ground.applied.experiment(test.node.id), wave_id=test.wave_id,
            arm=leader.arm or "", decided_at=ground.now, evidence=asdict(leader),
        )
    )  # fmt: skip
    decided = sa.literal(max(test.decide_at, ground.now), sa.BigInteger())
    hour = decided if test.rule.rest is None else localtime.next_time_at(zone, decided, test.rule.rest)
    rest = sa.select(hour).where(t.standing.c.contact_id == e.contact_id).scalar_subquery()
    sent = sa.exists().where(t.send.c.node_id == ground.applied.nodes[test.node.id], t.send.c.enrolment_id == e.id)
    return rowcount(
        connection.execute(
            t.enrolment.update()
            .where(e.node_id == ground.applied.nodes[test.node.id], e.wave_id == test.wave_id, e.state == "live")
            .where(e.due_at.is_(None), sa.not_(sent))
            .values(due_at=rest)
        )
    )

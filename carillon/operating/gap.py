"""The gap: what may have left between a backup and its restore is decided once more, and nothing of it is handed over.

The stages of an advance walk from the one instant to the other, as the lost run did; each batch that they make ready
is called unsure. So everybody stands where they would stand, and only a report or a person says what really left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from carillon.advance.advance import MOST_ROUNDS
from carillon.advance.heard import heard_kinds
from carillon.advance.lead import lead
from carillon.advance.next_due import next_due
from carillon.definition.entries import Scheduled
from carillon.delivery.reserve import reserve
from carillon.delivery.unsure import FROM_BACKUP
from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold
from carillon.journey.enter import enter
from carillon.journey.exits import exits, exits_of_due
from carillon.journey.ground import Ground, load_ground
from carillon.journey.leave import leave
from carillon.journey.move import move
from carillon.kernel.clock import MINUTE, Micros
from carillon.operating.restored import EXIT_CODE, Mark, withhold
from carillon.plan.applied import applied_names, load_rules
from carillon.store import tables as t
from carillon.store.engine import Store, rowcount
from carillon.store.zones import ready_for_zones

SHORTEST_STEP = 15 * MINUTE
MOST_STEPS = 500


@dataclass(slots=True)
class Gap:
    """What a walk through the gap found."""

    unsure: Mapping[tuple[str, str], int]
    """Campaign and step → people who may have been written to, and stand as unsure."""
    ended: Mapping[str, int]
    """Campaign → people whose message would wait until after the restore, but may have left before: they got out."""

    @property
    def people(self) -> int:
        return sum(self.unsure.values()) + sum(self.ended.values())


@dataclass(slots=True)
class _Walk:
    store: Store
    mark: Mark
    max_people: Mapping[str, int]
    postponed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Campaign → the steps at which somebody was told to wait."""

    def grounds(self, now: Micros) -> list[Ground]:
        """All campaigns that a person has not stopped, as if nothing held them."""
        with self.store.read() as connection:
            names = applied_names(connection)
        loaded = (load_ground(self.store, name, now) for name in names)
        return [
            _unheld(g) for g in loaded if g.applied.operator_state != "stopped" and g.applied.wanted_state != "draft"
        ]

    def stop_at(self, now: Micros) -> None:
        """Decide everything that is due at this instant."""
        for _ in range(MOST_ROUNDS):
            grounds = self.grounds(now)
            moved = sum(self._moved(ground) for ground in grounds)
            for campaign, steps in reserve(grounds, max_people=self.max_people).items():
                moved += sum(step.decided for step in steps)
                self.postponed[campaign] |= {step.step_id for step in steps if step.waiting.total()}
            with self.store.write("ledger") as connection:
                withhold(connection, ("ready",), now)
            if not moved:
                return
        raise RuntimeError(f"still moving after {MOST_ROUNDS} rounds")

    def _moved(self, ground: Ground) -> int:
        stages = (leave(ground), lead(ground), exits_of_due(ground), move(ground))
        entered = sum(wave.n for wave in enter(_with_entries(ground, scheduled=True)))
        return entered + sum(sum(stage.values()) for stage in stages)

    def next_stop(self, now: Micros) -> Micros:
        """Where somebody is due next, in steps that end."""
        step = max(SHORTEST_STEP, (self.mark.restored_at - self.mark.taken_at) // MOST_STEPS)
        due = [at for ground in self.grounds(now) if (at := next_due(ground)) is not None]
        return min(max(min(due, default=self.mark.restored_at), now + step), self.mark.restored_at)


def account_for_gap(store: Store, mark: Mark, max_people: Mapping[str, int]) -> Gap:
    """Walk through the gap of a restored store, whose campaigns are all held. May be repeated.

    What had come in before the backup is taken up first, as if it came at the restore: it may have been acted upon.
    """
    ready_for_zones(store)
    walk = _Walk(store, mark, max_people)
    _take_up_what_came_in(store, walk.grounds(mark.restored_at))
    now = mark.taken_at
    while now < mark.restored_at:
        walk.stop_at(now)
        now = walk.next_stop(now)
    walk.stop_at(mark.restored_at)
    ended = _end_postponed(walk)
    _forget_older_triggers(store, mark)
    return Gap(may_have_left(store), ended)


def catch_up_on_new(store: Store, mark: Mark, max_people: Mapping[str, int]) -> Gap:
    """What was applied after the restore may have been applied before it, too: its past occasions are unsure."""
    walk = _Walk(store, mark, max_people)
    walk.stop_at(mark.restored_at)
    return Gap(may_have_left(store), _end_postponed(walk))


def may_have_left(store: Store) -> dict[tuple[str, str], int]:
    """Campaign and step → people who are unsure because of a restore."""
    b, s = t.batch.c, t.send.c
    with store.read() as connection:
        rows = connection.execute(
            sa.select(t.campaign.c.name, t.node.c.step_id, sa.func.count())
            .join_from(t.batch, t.send, s.batch_id == b.id)
            .join(t.campaign, t.campaign.c.id == b.campaign_id)
            .join(t.node, t.node.c.id == b.node_id)
            .where(b.state == "unsure", b.note == FROM_BACKUP, s.outcome.is_(None))
            .group_by(t.campaign.c.name, t.node.c.step_id)
            .order_by(t.campaign.c.name, sa.func.min(b.node_id))
        ).all()
    return {(name, step): n for name, step, n in rows}


def _unheld(ground: Ground) -> Ground:
    return replace(ground, applied=replace(ground.applied, operator_state="running", hold_reason=None))


def _with_entries(ground: Ground, *, scheduled: bool) -> Ground:
    applied, plan = ground.applied, ground.applied.plan
    entries = tuple(e for e in plan.entries if isinstance(e, Scheduled) is scheduled)
    versions = {**applied.versions, applied.live_version: replace(plan, entries=entries)}
    return replace(ground, applied=replace(applied, versions=versions))


def _take_up_what_came_in(store: Store, grounds: Sequence[Ground]) -> None:
    if not grounds:
        return
    fold(store, grounds[0].now, heard=heard_kinds(store))
    with store.read() as connection:
        rules = load_rules(connection)
    apply_effects(store, grounds[0].now, rules)
    for ground in grounds:
        exits(ground)
        enter(_with_entries(ground, scheduled=False))


def _end_postponed(walk: _Walk) -> Counter[str]:
    """Quiet hours or a full cap may have looked otherwise to the run that is lost: who waits for them now gets out."""
    e, s, ended = t.enrolment.c, t.send.c, Counter[str]()
    for ground in walk.grounds(walk.mark.restored_at):
        nodes = [ground.applied.nodes[step] for step in walk.postponed.get(ground.applied.name, ())]
        undecided = sa.not_(sa.exists().where(s.node_id == e.node_id, s.enrolment_id == e.id))
        waiting = sa.and_(e.node_id.in_(nodes), e.state == "live", e.arrived_at <= ground.now, undecided)
        gone = {"state": "done", "exit_code": EXIT_CODE, "ended_at": ground.now, "due_at": None}
        if nodes:
            with walk.store.write("ledger") as connection:
                ended[ground.applied.name] += rowcount(
                    connection.execute(t.enrolment.update().where(waiting).values(gone))
                )
    return +ended


def _forget_older_triggers(store: Store, mark: Mark) -> None:
    """Events from before the restore that the shop tells once more take nobody in: they may have done so before."""
    c = t.campaign.c
    with store.write("core") as connection:
        older = t.campaign.update().where(c.first_applied_at < mark.restored_at)
        connection.execute(older.values(first_applied_at=mark.restored_at))

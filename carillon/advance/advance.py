"""Advance: bring one campaign to the present instant, stage by stage, until nothing more is due.

Every stage is a set statement in its own transaction and may be repeated: an advance that was killed is simply run
again, and ends in the same rows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from carillon.advance.analysts import hold_unanswered
from carillon.advance.brakes import hold_doubtful
from carillon.advance.engine import Engine
from carillon.advance.heard import heard_kinds
from carillon.advance.judge import judge
from carillon.advance.lead import lead
from carillon.advance.lease import Held, lease
from carillon.advance.next_due import next_due
from carillon.advance.notices import tell_notices
from carillon.advance.stages import Perform, Stage, perform_plainly, settled
from carillon.advance.together import go_on_meanwhile, many_at, reserve_for, together
from carillon.delivery.codes import settle_of
from carillon.delivery.desk import Reserved
from carillon.delivery.effects import suppress_refused
from carillon.delivery.model import WorkResult
from carillon.delivery.release import release_without_yes
from carillon.delivery.resend import resend
from carillon.delivery.reserve import reserve
from carillon.delivery.stopping import stop_when
from carillon.delivery.supply import Supply
from carillon.delivery.turns import take_pass
from carillon.delivery.unsure import settle_unsure
from carillon.delivery.work import Progress, work
from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold, has_new
from carillon.journey.awaited import Awaited, awaited, count_from_yes
from carillon.journey.enter import enter
from carillon.journey.exits import exits, exits_of_due
from carillon.journey.ground import Ground, load_ground
from carillon.journey.latest import move_to_latest
from carillon.journey.leave import leave
from carillon.journey.move import move
from carillon.journey.resample import resample
from carillon.kernel.clock import Micros
from carillon.kernel.crash import crash_point
from carillon.kernel.loop import run_on_loop
from carillon.kernel.worker import worker_id
from carillon.plan.applied import applied_names
from carillon.policy.coupons import pools_of
from carillon.store import tables as t
from carillon.store.zones import ready_for_zones

MOST_ROUNDS = 200
"""More rounds than a journey has steps: an advance that still finds work then has a fault, and says so."""


NOTHING = WorkResult()


@dataclass(frozen=True, slots=True)
class Advanced:
    """What an advance did, and when the campaign wants to be advanced again."""

    campaign: str
    at: Micros
    stages: Sequence[Stage]
    next_due: Micros | None
    hold_reason: str | None = None
    work: WorkResult = NOTHING
    awaits: Sequence[Awaited] = ()
    """What a person is to say yes to before anything more leaves."""
    goes_on: bool = False
    """It was prompt and has handed over: those who wait for the next step, or have come since, are the next one's."""


def advance(
    engine: Engine,
    campaign: str,
    *,
    alone: bool = False,
    promptly: bool = False,
    perform: Perform = perform_plainly,
    progress: Progress | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Advanced:
    """Bring the campaign to now; raises LookupError where it was never applied, AlreadyRunning while another does it.

    `alone` decides for this campaign only (an explicit `--now`); else everybody due in the workspace is decided in one
    pass, so that the better priority goes first. `promptly` leaves the campaigns out that have no better priority: their
    own advance decides them, and nobody here waits for a wave of theirs; it ends behind a hand-over (`goes_on`), so that
    who came meanwhile is met by an advance of their own instant. Once `stopping` says so no further batch begins
    and no further stage; the next advance goes on from there.
    """
    now = engine.campaign_clock.now()
    ready_for_zones(engine.store)
    with lease(engine.store, f"advance:{campaign}", engine.machine_clock) as held:
        run = _Run(engine, campaign, now, alone, promptly, perform, progress, held, stopping)
        for _ in range(MOST_ROUNDS):
            if stopping() or not run.round() or (promptly and run.has_settled):
                break
        else:
            raise RuntimeError(f"{campaign}: still moving after {MOST_ROUNDS} rounds")
        ground = load_ground(engine.store, campaign, now)
        run.judge(ground)
        due = next_due(ground, engine.machine_clock.now())
        with engine.store.read() as connection:
            awaits = awaited(connection, ground)
        return Advanced(
            campaign, now, tuple(run.stages), due, ground.applied.hold_reason, run.worked, awaits,
            goes_on=promptly and run.has_settled,
        )  # fmt: skip


class _Run:
    """One advance under its lease: the stages of ledger.md in their order, and what they did."""

    def __init__(
        self,
        engine: Engine,
        campaign: str,
        now: Micros,
        alone: bool,
        promptly: bool,
        perform: Perform,
        progress: Progress | None,
        held: Held,
        stopping: Callable[[], bool],
    ) -> None:
        self._held, self._stopping = held, stopping
        self._engine, self._campaign, self._now = engine, campaign, now
        self._alone, self._promptly = alone, promptly
        self._perform, self._progress = perform, progress
        self.stages: list[Stage] = []
        self.worked = NOTHING

    @property
    def has_settled(self) -> bool:
        """Somebody was handed over."""
        return settled(self.worked.people) > 0

    def round(self) -> bool:
        """All stages once; says whether anything happened that may have made more due."""
        before = len(self.stages)
        self._held.renew()
        ground = self._ground()
        if hold_unanswered(ground):
            self.stages.append(Stage("held: SQL without an answer", counts={"held": 1}))
            return False
        self._do("read what came in", lambda: _feedback(ground))
        self._do("settle what was unsure", lambda: self._settle_unsure(ground))
        _settle_codes(ground)
        for stage in _moves(ground):
            self._do(*stage)
        if not ground.applied.is_running:
            return False
        self._do("take people in", lambda: _enter(ground))
        if hold_doubtful(ground):
            self.stages.append(Stage("held: another number than planned", counts={"held": 1}))
            return False
        self._do("go on", lambda: _gone_on(move(ground)))
        count_from_yes(ground)
        self._do("take back what has no yes", lambda: _taken_back(ground))
        if many := many_at(ground):
            steps, people = " + ".join(many), sum(many.values())
            title = f"{steps}: {people:,} to decide and hand over"
            self._do(title, partial(self._together, ground, steps, people), is_long=True)
            return len(self.stages) > before
        self._do("decide who gets it", self._reserve)
        if ready := dict(self._ready(ground)):
            steps = " + ".join(ready)
            title = f"{steps}: {sum(ready.values()):,} to hand over"
            self._do(title, partial(self._work, steps), is_long=True)
        return len(self.stages) > before

    def judge(self, ground: Ground) -> None:
        """Take the planned looks that are due."""
        self._do("judge", lambda: _counted("judge", judge(ground)))

    def _ground(self) -> Ground:
        return load_ground(self._engine.store, self._campaign, self._now)

    def _do(self, title: str, run: Callable[[], Stage], *, is_long: bool = False) -> None:
        if self._stopping():
            return
        crash_point("between_stages")
        stage = self._perform(title, run, is_long=is_long)
        if stage.did_something:
            self.stages += stage.told

    def _settle_unsure(self, ground: Ground) -> Stage:
        """Hand-overs whose outcome was unknown: by what came in since, then by the workspace's `if_unsure`."""
        machine_now = self._engine.machine_clock.now()
        suppress_refused(ground.store, ground.rules)  # what a killed run was told and had no time to pass on
        settled = settle_unsure(ground.store, ground.rules, now=ground.now, machine_now=machine_now)
        return _counted("settle what was unsure", settled)

    def _together(self, ground: Ground, steps: str, people: int) -> Stage:
        work, go_on = partial(self._work, steps), partial(self._go_on, ground)
        return together(steps, people, self._reserve, work, go_on, has_line=ground.store.runs_here)

    def _go_on(self, ground: Ground, supply: Supply) -> Stage:
        if pools_of(ground.applied.plan, ground.applied.versions.values()):
            return Stage("go on")  # once it is known what became of their codes
        return _gone_on(go_on_meanwhile(supply, ground, stopping=self._stopping))

    def _reserve(self, supply: Supply | None = None) -> Stage:
        names = [self._campaign]
        if not self._alone:
            with self._engine.store.read() as connection:
                names = list(applied_names(connection))
        loaded = [load_ground(self._engine.store, name, self._now) for name in names]
        asked = _not_after(self._campaign, loaded) if self._promptly else loaded
        grounds = [
            g
            for g in asked
            if g.applied.is_running and not (self._is_other(g) and (hold_unanswered(g) or hold_doubtful(g)))
        ]
        gone = {g.applied.name: exits_of_due(g) for g in grounds}.get(self._campaign, Counter[str]())
        again = resend(grounds, machine_now=self._engine.machine_clock.now())
        decide = reserve if supply is None else partial(reserve_for, supply)
        decided = decide(grounds, max_people=self._engine.max_people, stopping=self._stopping)
        once_more = _decided(again.get(self._campaign, []), "{}, once more")
        parts = [_counted("exit", gone), *once_more, *_decided(decided.get(self._campaign, []))]
        return Stage("decide who gets it", parts=[part for part in parts if part.did_something])

    def _is_other(self, ground: Ground) -> bool:
        return ground.applied.name != self._campaign

    def _ready(self, ground: Ground) -> Iterator[tuple[str, int]]:
        """The message steps with people ready to be handed over now."""
        b, names = t.batch.c, {node: step for step, node in ground.applied.nodes.items()}
        with self._engine.store.read() as connection:
            rows = connection.execute(
                sa.select(b.node_id, sa.func.sum(b.n))
                .where(b.campaign_id == ground.applied.id, b.state.in_(("ready", "claimed")))
                .where(
                    b.due_at <= self._now, sa.or_(b.retry_at.is_(None), b.retry_at <= self._engine.machine_clock.now())
                )
                .group_by(b.node_id)
                .order_by(b.node_id)
            ).all()
        for node_id, n in rows:
            yield names[node_id], int(n)

    def _work(self, steps: str, supply: Supply | None = None) -> Stage:
        """Hand over whatever is ready; `steps` are those with people waiting, in the marketer's words."""
        result = run_on_loop(self._hand_over(supply))
        self.worked = _sum(self.worked, result)
        return Stage(steps, None if " + " in steps else steps, dict(result.people))

    async def _hand_over(self, supply: Supply | None) -> WorkResult:
        connectors = self._engine.make_connectors()
        ground = self._ground()
        try:
            async with stop_when(self._stopping) as stop:
                return await work(
                    self._engine.store,
                    connectors=connectors,
                    rules=ground.rules,
                    keyring=self._engine.keyring,
                    campaign_clock=self._engine.campaign_clock,
                    machine_clock=self._engine.machine_clock,
                    worker=worker_id(),
                    campaign_id=ground.applied.id,
                    refresh=lambda: self._refresh(ground),
                    progress=self._progress,
                    stop=stop,
                    supply=supply,
                )
        finally:
            await asyncio.gather(*(c.close() for c in connectors.values()))

    def _refresh(self, ground: Ground) -> None:
        """Just before a claim: what has come in since is folded, and who exits by it is not written to."""
        self._held.renew()
        _feedback(ground)
        exits(ground)


def _not_after(campaign: str, grounds: Sequence[Ground]) -> list[Ground]:
    """The campaign, and those whose better priority gives them the last place under a cap."""
    own = max((g.applied.plan.priority for g in grounds if g.applied.name == campaign), default=0)
    return [g for g in grounds if g.applied.name == campaign or g.applied.plan.priority > own]


def _moves(ground: Ground) -> Iterator[tuple[str, Callable[[], Stage]]]:
    yield "go on in the newest version", lambda: _counted("go on in the newest version", move_to_latest(ground))
    yield "exit", lambda: _counted("exit", exits(ground))
    yield "go on", lambda: _gone_on(leave(ground))
    yield "draw the sample anew", lambda: _counted("draw the sample anew", resample(ground))
    yield "choose the leader", lambda: _counted("choose the leader", lead(ground))


def _settle_codes(ground: Ground) -> None:
    """Before anybody leaves their message: what comes behind it may ask for the code."""
    if not pools_of(ground.applied.plan, ground.applied.versions.values()):
        return
    with ground.store.write("ledger") as connection:
        take_pass(connection)
        settle_of(connection, ground)


def _feedback(ground: Ground) -> Stage:
    tell_notices(ground.store, ground.now)
    arrivals = 0
    if has_new(ground.store):  # most times nothing is, and then nobody need know what is listened to
        arrivals = fold(ground.store, ground.now, heard=heard_kinds(ground.store)).arrivals
    apply_effects(ground.store, ground.now, ground.rules)
    return Stage("read what came in", counts={"events": arrivals})


def _enter(ground: Ground) -> Stage:
    counts: dict[str, int] = {}
    for entered in enter(ground):
        counts["entered"] = counts.get("entered", 0) + entered.n
        for reason, n in entered.left_out.items():
            counts[f"not entered ({reason})"] = counts.get(f"not entered ({reason})", 0) + n
    return Stage("take people in", counts=counts)


def _taken_back(ground: Ground) -> Stage:
    with ground.store.write("ledger") as connection:
        return _counted("take back what has no yes", {"due again": release_without_yes(connection, ground)})


def _counted(title: str, counts: Mapping[str, int]) -> Stage:
    return Stage(title, counts={what: n for what, n in counts.items() if n})


def _gone_on(steps: Mapping[str, int]) -> Stage:
    return _counted("go on", {f"from {step_id}": n for step_id, n in steps.items()})


def _decided(decided: Sequence[Reserved], title: str = "{}") -> Iterator[Stage]:
    """What was decided, a stage a step."""
    steps: dict[str, Counter[str]] = {}
    for reserved in decided:
        counts = steps.setdefault(reserved.step_id, Counter())
        counts.update(ready=reserved.ready, holdout=reserved.ghosts)
        counts.update({f"skipped ({reason})": n for reason, n in sorted(reserved.skipped.items())})
        counts.update({f"later ({reason})": n for reason, n in sorted(reserved.waiting.items())})
    return (_step(title.format(step_id), step_id, counts) for step_id, counts in steps.items())


def _step(title: str, step_id: str, counts: Mapping[str, int]) -> Stage:
    return Stage(title, step_id, {what: n for what, n in counts.items() if n})


def _sum(a: WorkResult, b: WorkResult) -> WorkResult:
    people = {k: a.people.get(k, 0) + b.people.get(k, 0) for k in (*a.people, *b.people)}
    return WorkResult(
        a.batches + b.batches, people, {**a.held, **b.held}, {**a.unbuilt, **b.unbuilt}, b.retry_at or a.retry_at
    )

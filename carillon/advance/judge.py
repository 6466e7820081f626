"""Stage 9, judge: planned looks that are due are taken once and written down; between them nothing is decided."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from carillon.evaluation.of_campaign import look_plans, results
from carillon.evaluation.verdict import due_look
from carillon.journey.ground import Ground
from carillon.kernel.clock import Micros
from carillon.store import tables as t


def judge(ground: Ground) -> Counter[str]:
    """Take the looks that are due; returns `step: verdict` → 1."""
    taken: Counter[str] = Counter()
    with ground.store.read() as connection:
        due = {
            name: no
            for name, plan, seen in look_plans(connection, ground)
            if (no := due_look(plan, seen, ground.now)) is not None
        }
        asked_now = results(connection, ground, only=due) if due else []
    for asked in asked_now:
        no = due[asked.name]
        with ground.store.write("ledger") as connection:
            connection.execute(
                t.look.insert().values(experiment=asked.name, no=no, at=ground.now, result=asdict(asked.result.verdict))
            )
        taken[f"look {no} at {asked.step_id}: {asked.result.verdict.state}"] += 1
    return taken


def next_look(ground: Ground) -> Micros | None:
    """When the next planned look is due; None where all are over or nobody was exposed yet."""
    with ground.store.read() as connection:
        ahead = [at for _, plan, _ in look_plans(connection, ground) for at in plan.looks_at if at > ground.now]
    return min(ahead, default=None)

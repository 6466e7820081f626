"""Evaluate: figures in, everything that can be said about a test out."""

from __future__ import annotations

from collections.abc import Sequence

from carillon.evaluation.choosing import Policy, choose_leader
from carillon.evaluation.compare import compare, sample_ratio
from carillon.evaluation.model import METRICS, ArmFigures, Leader, Metric, TestResult, Verdict
from carillon.evaluation.verdict import LookPlan, verdict
from carillon.kernel.clock import Micros


def evaluate(
    experiment: str,
    arms: Sequence[ArmFigures],
    shares: Sequence[float],
    plan: LookPlan,
    *,
    taken: int,
    now: Micros,
    earlier: Verdict | None = None,
    leader_by: Metric | None = None,
    min_events: int = 25,
    policy: Policy = "leader",
) -> TestResult:
    """The result at `now`, after `taken` looks of which the last one said `earlier`; the first arm is the control.

    `shares` are the arms' shares in any unit. A leader is named only where the test has one to choose (`leader_by`).
    """
    control, *variants = arms
    mismatch = sample_ratio([figures.exposed for figures in arms], shares)
    comparisons = tuple(
        compare(variant.arm, variant.moments(metric), control.arm, control.moments(metric), metric)
        for metric in METRICS
        for variant in variants
    )
    judged = verdict(arms, plan, taken, now, mismatch, earlier)
    leader: Leader | None = None
    if leader_by is not None:
        leader = choose_leader(
            arms, leader_by, min_events=min_events, policy=policy, is_mismatched=mismatch.blocks,
            proven=judged.arm if judged.state == "proven" and judged.is_better else None,
        )  # fmt: skip
    return TestResult(experiment, plan.metric, tuple(arms), comparisons, mismatch, leader, judged)

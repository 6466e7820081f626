"""What a terminal shows of a run: people, pace and time left while it hands over, a word while it does not."""

from __future__ import annotations

import io

from rich.console import Console

from carillon.advance.stages import Stage
from carillon.cli.watching import Watch, progress_bar
from carillon.delivery.model import WorkResult


def test_a_hand_over_is_counted_and_all_else_is_named() -> None:
    """12,004 people, of whom those that still wait are not counted; the pace is that of this hand-over alone."""
    bar = progress_bar(Console(file=io.StringIO(), width=120, force_terminal=True), is_silent=False)
    clock = [100.0]
    bar.get_time = lambda: clock[0]
    watch, seen = Watch(bar, "sale"), list[str]()

    def look() -> None:
        (task,) = bar.tasks
        seen.append(f"{task.description} | {bar.columns[2](task)}")

    def hand_over() -> Stage:
        look()
        for done in (1_000, 2_000, 3_000):
            clock[0] += 1
            watch.progress(WorkResult(done // 1_000, {"accepted": done - 10, "exited": 10, "deferred": 500}))
        look()
        return Stage("email.sale")

    watch.perform("take people in", lambda: (look(), Stage("x"))[1])
    watch.perform("email.sale: 12,004 to hand over", hand_over, is_long=True)
    look()
    watch.end()
    assert bar.tasks == []
    assert seen == [
        "sale: take people in | ",
        "sale: email.sale | 0 of 12,004",
        "sale: email.sale | 3,000 of 12,004 · 1,000/s · 0:00:10 left",
        "sale: going on | ",
    ]

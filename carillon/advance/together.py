"""Many people are decided and handed over at the same time: the first of them leave while the others are decided.

Each slice of people that was decided is ready, as it would be if the run had been killed behind it; the next are decided
in a thread of their own, which then lets those go on who were handed over by now; PostgreSQL, which has no line of
writers, lets them go on beside the deciding. Fewer people are decided first, handed over then and go on last, which tells
more clearly what a run did.
"""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from carillon.advance.stages import Stage
from carillon.delivery.desk import Reserved
from carillon.delivery.reserve import reserve
from carillon.delivery.slices import undecided
from carillon.delivery.supply import Supply
from carillon.journey.ground import Ground
from carillon.journey.leave import leave_batches

MANY = 50_000
"""From so many people on."""
SLICE = 10_000
"""People decided in one transaction, between two of which whoever hands over has its turn to write."""
GO_ON = 10_000
"""People who go on in one transaction while others are handed over."""


def many_at(ground: Ground) -> Mapping[str, int]:
    """The steps at which so many people are to be decided that the first may leave meanwhile; step → about how many."""
    with ground.store.read() as connection:
        return undecided(connection, ground, more_than=MANY)


def reserve_for(
    supply: Supply, grounds: Sequence[Ground], *, max_people: Mapping[str, int], stopping: Callable[[], bool]
) -> Mapping[str, Sequence[Reserved]]:
    """Decide slice by slice, and tell of each; ends early where nobody hands over any more."""
    return reserve(
        grounds, max_people=max_people, slice_people=SLICE, told=lambda decided: supply.more(),
        stopping=lambda: stopping() or not supply.is_wanted,
    )  # fmt: skip


def go_on_meanwhile(supply: Supply, ground: Ground, *, stopping: Callable[[], bool]) -> Counter[str]:
    """Let people leave their message as they are handed over, until the others are; step id → people who went on."""
    left: Counter[str] = Counter()
    while not stopping() and (batches := supply.handed_over.take(GO_ON)):
        left += leave_batches(ground, batches)
    return left


def together(
    title: str,
    people: int,
    decide: Callable[[Supply], Stage],
    hand_over: Callable[[Supply], Stage],
    go_on: Callable[[Supply], Stage],
    *,
    has_line: bool,
) -> Stage:
    """All at once for about so many people, but `go_on` behind `decide` where the store's writers stand in line.

    What each did are the parts of what is returned. Where one fails the others end in order.
    """
    supply = Supply(people)
    with ThreadPoolExecutor(1 if has_line else 2, thread_name_prefix="decide") as threads:
        deciding = threads.submit(contextvars.copy_context().run, _to_its_end, decide, supply)
        going_on = threads.submit(contextvars.copy_context().run, go_on, supply)
        try:
            handed_over = hand_over(supply)
        finally:
            supply.is_wanted = False
            supply.handed_over.end()
        decided, gone_on = deciding.result(), going_on.result()
    return Stage(title, parts=[stage for stage in (*decided.told, handed_over, gone_on) if stage.did_something])


def _to_its_end(decide: Callable[[Supply], Stage], supply: Supply) -> Stage:
    try:
        return decide(supply)
    finally:
        supply.end()

"""PostgreSQL works on as many cores as there are connections that ask: slices are decided two at a time.

Only where what is decided of one person says nothing of another: else the second slice has to see the first.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from carillon.delivery.desk import Desk, Reserved
from carillon.delivery.slices import Slice
from carillon.delivery.turns import shared_pass, work_under
from carillon.store.engine import Store

ABREAST = 2
"""More would wait for each other at the log and at the ends of the indexes."""


def abreast(store: Store, found: Sequence[Slice], desk: Callable[[], Desk]) -> Iterator[Reserved]:
    """Decide the slices, ABREAST of them at once, each in a transaction of its own; told behind each round.

    Whose address another shares is left out. Another pass may come between two rounds.
    """
    desks = [desk() for _ in range(ABREAST)]
    with ThreadPoolExecutor(ABREAST, "abreast") as lanes:
        for begin in range(0, len(found), ABREAST):
            with shared_pass(store) as holder:
                running = [
                    lanes.submit(contextvars.copy_context().run, _decide, store, holder, desk, one)
                    for desk, one in zip(desks, found[begin : begin + ABREAST], strict=False)
                ]
                wait(running)  # nobody may write any more once the turn is given back
                decided = [each.result() for each in running]
            yield from decided


def _decide(store: Store, holder: int, desk: Desk, one: Slice) -> Reserved:
    with store.write("ledger") as connection:
        work_under(connection, holder)
        return desk.decide(connection, one, alone=True)

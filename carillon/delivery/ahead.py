"""SQLite has one writer: the next slices are asked about, which only reads, while one is written, each on a core of its own.

Only where what is decided of one person says nothing of another: else the second slice has to see the first. Whoever
wants to write between two slices finds the ledger free for most of the time.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from carillon.delivery.desk import Desk, Reserved
from carillon.delivery.slices import Slice
from carillon.delivery.turns import TurnLostError, number_of_pass, still_ours, take_pass
from carillon.store.engine import Draft, Store

AHEAD = 2
"""Slices that are asked about or written at once."""


def ahead(store: Store, found: Sequence[Slice], desk: Callable[[], Desk]) -> Iterator[Reserved]:
    """Decide the slices in their order, each written in a transaction of its own; told behind each.

    Whose address another shares is left out. Where another pass has come in between, what was asked meanwhile is
    forgotten; one slice is then decided at a stroke, so that two passes do not forever forget for each other.
    """
    left = deque(found)
    while left:
        with suppress(TurnLostError):
            yield from _in_a_row(store, left, [desk() for _ in range(AHEAD)])
        if left:
            with store.write("ledger") as connection:
                take_pass(connection)
                told = desk().decide(connection, left[0], alone=True)
            left.popleft()
            yield told


def _in_a_row(store: Store, left: deque[Slice], desks: Sequence[Desk]) -> Iterator[Reserved]:
    """Until nothing is left, or another pass has come in between; what was written is taken out of `left`."""
    number = number_of_pass(store)
    to_ask = iter(tuple(left))
    with ExitStack() as stack:
        drafts = [stack.enter_context(store.draft("ledger")) for _ in desks]
        readers = stack.enter_context(ThreadPoolExecutor(len(desks), "ahead"))
        coming = deque(
            (draft, desk, readers.submit(contextvars.copy_context().run, _ask, draft, number, desk, one))
            for draft, desk, one in zip(drafts, desks, to_ask)  # noqa: B905
        )
        while coming:
            draft, desk, asked = coming.popleft()
            asked.result()
            with draft.writing() as connection:
                still_ours(connection, number)
                told = desk.write(connection)
            left.popleft()
            for one in to_ask:
                asked = readers.submit(contextvars.copy_context().run, _ask, draft, number, desk, one)
                coming.append((draft, desk, asked))
                break
            yield told


def _ask(draft: Draft, number: int, desk: Desk, one: Slice) -> None:
    with draft.reading() as connection:
        still_ours(connection, number)
        desk.ask(connection, one, alone=True)

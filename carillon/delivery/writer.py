"""Group commit: one thread owns the ledger's write lock, and many small steps share one durable commit.

A step is a function over a list of things, so that what twenty batches ask for at once becomes one statement, not
twenty. Its answer comes back only after the commit: who has it may act on it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from sqlalchemy.engine import Connection

from carillon.store.engine import Store

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Wish:
    step: Callable[[Connection, Sequence[Any]], Sequence[Any]]
    asked: Any
    answer: asyncio.Future[Any]


class LedgerWriter:
    """The one writer of the ledger in this process's `work`; use as an async context manager."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wishes: SimpleQueue[_Wish | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self.commits = 0

    async def __aenter__(self) -> LedgerWriter:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._wishes.put(None)
        await asyncio.to_thread(self._thread.join)

    async def run(self, step: Callable[[Connection, Sequence[Asked]], Sequence[Answer]], asked: Asked) -> Answer:
        """The step's answer for `asked`, once it is durable; raises what the step raised, and nothing was written."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._wishes.put(_Wish(step, asked, answer))
        return cast(Answer, await answer)

    def _serve(self) -> None:
        while (first := self._wishes.get()) is not None:
            group, more = self._gather(first)
            self._answer(group)
            if not more:
                return

    def _gather(self, first: _Wish) -> tuple[list[_Wish], bool]:
        group = [first]
        while len(group) < MOST_AT_ONCE:
            try:
                wish = self._wishes.get_nowait()
            except Empty:
                break
            if wish is None:
                return group, False
            group.append(wish)
        return group, True

    def _answer(self, group: list[_Wish]) -> None:
        try:
            with self._store.write("ledger") as connection:
                answers = _run_steps(connection, group)
            self.commits += 1
        except BaseException as error:  # every waiter must learn of it, whatever it is
            failed = error
            self._loop.call_soon_threadsafe(lambda: _fail(group, failed))
        else:
            self._loop.call_soon_threadsafe(lambda: _resolve(answers))


def _run_steps(connection: Connection, group: list[_Wish]) -> list[tuple[_Wish, Any]]:
    by_step: dict[Any, list[_Wish]] = {}
    for wish in group:
        by_step.setdefault(wish.step, []).append(wish)
    answers: list[tuple[_Wish, Any]] = []
    for step, wishes in by_step.items():
        answers += zip(wishes, step(connection, [wish.asked for wish in wishes]), strict=True)
    return answers


def _resolve(answers: list[tuple[_Wish, Any]]) -> None:
    for wish, answer in answers:
        if not wish.answer.done():
            wish.answer.set_result(answer)


def _fail(group: list[_Wish], error: BaseException) -> None:
    for wish in group:
        if not wish.answer.done():
            wish.answer.set_exception(error)

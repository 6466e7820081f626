"""Group commit: many requests wait for one transaction, written by one thread; nobody is answered before it stands."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

Thing = TypeVar("Thing")

MOST_TOGETHER = 20_000
"""Things of one commit."""
MOST_WAITING = 200_000
"""Things in memory; beyond them callers are told to come again later, which providers do for a day."""


class BusyError(Exception):
    """Too much is waiting to be written; the caller should come again later."""


class Committer(Generic[Thing]):
    """One writer thread over `commit`, which stores all things of a call durably or raises and stores none."""

    def __init__(self, commit: Callable[[Sequence[Thing]], object], name: str) -> None:
        self._commit = commit
        self._waiting: deque[tuple[Sequence[Thing], asyncio.Future[None]]] = deque()
        self._size = 0
        self._closed = False
        self._change = Condition()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, things: Sequence[Thing]) -> asyncio.Future[None]:
        """A future that is done once these things are stored; raises BusyError where too many wait."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._change:
            if self._closed or (self._size and self._size + len(things) > MOST_WAITING):
                raise BusyError
            self._waiting.append((things, future))
            self._size += len(things)
            self._change.notify()
        return future

    def close(self) -> None:
        """Write what waits and end the thread."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._next_group():
            try:
                self._commit([thing for things, _ in group for thing in things])
            except Exception:
                # One poisonous request must not take its neighbours with it.
                logger.exception("a group of %d requests was not stored together; each is tried alone", len(group))
                for things, future in group:
                    self._alone(things, future)
            else:
                for _, future in group:
                    _resolve(future, None)

    def _next_group(self) -> list[tuple[Sequence[Thing], asyncio.Future[None]]]:
        with self._change:
            self._change.wait_for(lambda: bool(self._waiting) or self._closed)
            group: list[tuple[Sequence[Thing], asyncio.Future[None]]] = []
            size = 0
            while self._waiting and (not group or size + len(self._waiting[0][0]) <= MOST_TOGETHER):
                group.append(self._waiting.popleft())
                size += len(group[-1][0])
            self._size -= size
            return group

    def _alone(self, things: Sequence[Thing], future: asyncio.Future[None]) -> None:
        try:
            self._commit(things)
        except Exception as error:
            logger.exception("a request of %d things was not stored", len(things))
            _resolve(future, error)
        else:
            _resolve(future, None)


def _resolve(future: asyncio.Future[None], error: Exception | None) -> None:
    def settle() -> None:
        if future.done():  # its caller hung up
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)

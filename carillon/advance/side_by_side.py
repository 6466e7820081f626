"""Advances side by side: each campaign in a thread of its own, so that nobody waits for another's long hand-over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

log = logging.getLogger(__name__)

PLACES = 8
"""So many campaigns are advanced at once; the others wait for a place."""
KEPT_FREE = 4
"""Places that what is late leaves to those whom something has just happened to."""
AGAIN_S = 1.0
"""After so long what failed, or was in another process's hand, is tried again."""

Run = Callable[[str], bool]
"""Advances one campaign; False where another process does, whose run may be past the stage that would have seen the news."""


class SideBySide:
    """Who asks for a campaign gets an advance that begins after the asking. One campaign is never in two threads."""

    def __init__(self, run: Run, places: int = PLACES, kept_free: int = KEPT_FREE) -> None:
        self._run, self._places, self._kept_free = run, places, kept_free
        self._pool = ThreadPoolExecutor(places, thread_name_prefix="advance")
        self._asked: dict[str, float] = {}
        """Campaign → not before (monotonic)."""
        self._late: dict[str, float] = {}
        self._under_way: dict[str, Future[bool]] = {}
        self._faults: dict[str, str] = {}

    def ask(self, names: Iterable[str], *, is_late: bool = False) -> None:
        """Have these advanced; who is under way now is advanced once more after that."""
        wanted = self._late if is_late else self._asked
        for name in names:
            wanted.setdefault(name, 0.0)

    def go(self) -> None:
        """Look at what has ended, and begin what has a place."""
        for name, future in list(self._under_way.items()):
            if future.done():
                del self._under_way[name]
                self._ended(name, future)
        self._begin(self._asked, self._places)
        self._begin(self._late, self._places - self._kept_free)

    @property
    def is_idle(self) -> bool:
        """Nothing is under way or asked for."""
        return not (self._under_way or self._asked or self._late)

    def _begin(self, wanted: dict[str, float], places: int) -> None:
        now = time.monotonic()
        for name, not_before in list(wanted.items()):
            if len(self._under_way) >= places:
                return
            if not_before <= now and name not in self._under_way:
                del wanted[name]
                self._under_way[name] = self._pool.submit(self._run, name)

    def _ended(self, name: str, future: Future[bool]) -> None:
        fault = future.exception()
        if fault is not None and self._faults.get(name) != repr(fault):  # told once, not every second
            log.error("%s could not be advanced; it is tried again every second", name, exc_info=fault)
        if fault is None:
            self._faults.pop(name, None)
        else:
            self._faults[name] = repr(fault)
        if fault is not None or not future.result():
            self._asked.setdefault(name, time.monotonic() + AGAIN_S)

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

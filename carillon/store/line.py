"""Writers of one process stand in line: each waits for those who came before it, and for nobody else.

SQLite lets whoever asks at the right moment write first, and lets the others sleep for up to a tenth of a second
between two looks: one that writes all the time would keep them out for as long as it goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Line:
    """One place at the front, taken in the order of asking. A thread that has it may not ask again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The front of the line, until the block ends."""
        self._come()
        try:
            yield
        finally:
            self._leave()

    def __len__(self) -> int:
        """How many wait behind whoever is at the front."""
        return len(self._waiting)

    def _come(self) -> None:
        called = threading.Event()
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return
            self._waiting.append(called)
        try:
            called.wait()
        except BaseException:  # interrupted while it waited: nobody may wait for who has gone
            self._give_up(called)
            raise

    def _give_up(self, called: threading.Event) -> None:
        with self._lock:
            if called in self._waiting:
                self._waiting.remove(called)
                return
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False

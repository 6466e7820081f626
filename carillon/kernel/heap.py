"""What a long-running process does with memory that is free again."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`mallopt(3)`."""
KEPT = 128 * 2**20
LARGEST_KEPT = 32 * 2**20
GIVEN_BACK_AFTER = 100_000
"""People whose bodies were built, until rings are looked for and what lies free between other things is given back: that
takes some ten milliseconds."""


@cache
def keep_freed_memory() -> None:
    """Keep what is freed for what is made next, as far as the C library can be told (glibc).

    Otherwise each text of a megabyte comes as new pages from the system and goes back at once: to touch them costs more
    than to write the text.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # musl, macOS, Windows
        return
    mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(_TRIM_THRESHOLD, KEPT)


class FreedMemory:
    """What is kept free grows by and by, cut into pieces that nothing fits into: now and then all of it goes back."""

    def __init__(self) -> None:
        self._people, self._counting = 0, threading.Lock()

    def after(self, people: int) -> None:
        """So many more people's bodies were built; called by any thread."""
        with self._counting:
            self._people += people
            if self._people < GIVEN_BACK_AFTER:
                return
            self._people = 0
        _give_back()


def _give_back() -> None:
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # musl, macOS, Windows
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage in rings less often while bodies are built and handed over."""
    # A list a person is no garbage cycle, and to look through those of a few batches took a tenth of the work. What comes
    # in rings (the rows of SQLAlchemy, a failed exchange) is small: nothing that holds a body is one.
    before = gc.get_threshold()
    gc.set_threshold(100_000, 10, 1_000)
    gc.freeze()  # what is there already need not be looked through
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

"""What a long-running process does with memory that is free again."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`mallopt(3)`."""
KEPT = 128 * 2**20
LARGEST_KEPT = 32 * 2**20


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


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage in rings less often while bodies are built and handed over."""
    # A list a person is no garbage cycle, and to look through those of a few batches took a tenth of the work. What comes
    # in rings (the rows of SQLAlchemy, a failed exchange) is small: nothing that holds a body is one.
    before = gc.get_threshold()
    gc.set_threshold(100_000, 10, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)

"""What a long-running process does with memory that is free again."""

from __future__ import annotations

import ctypes
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

"""How often Python looks for garbage that only cycles keep."""

from __future__ import annotations

import gc

RARELY = (50_000, 20, 50)
"""Python's own are 700, 10, 10: made for a small heap. Importing a thousand modules would be searched 300 times."""


def collect_rarely() -> None:
    """For a process of ours, before it imports: about a tenth of its imports was the search. What is not in a cycle goes as ever."""
    gc.set_threshold(*RARELY)

"""When a deferred batch is tried again: twice as long each time, spread by the batch itself, never drawn at random."""

from __future__ import annotations

from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.ids import hash64

FIRST_S, LONGEST_S = 2.0, 300.0


def retry_after(batch_id: int, attempt: int, asked_s: float | None = None) -> Micros:
    """How long to wait after this attempt; what the provider asked for is the least, up to a tenth later."""
    spread = (hash64("backoff", batch_id, attempt) % 1_000) / 1_000
    if asked_s is not None:
        return round(asked_s * (1 + spread / 10) * SECOND)
    longest: float = min(LONGEST_S, FIRST_S * 2.0 ** min(attempt - 1, 20))
    return round(longest * (0.5 + spread / 2) * SECOND)

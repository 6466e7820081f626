"""When a deferred batch is tried again: twice as long each time, spread by the batch itself, never drawn at random."""

from __future__ import annotations

from carillon.kernel.clock import SECOND, Micros
from carillon.kernel.ids import hash64

FIRST_S, LONGEST_S = 2.0, 300.0
PERSON_FIRST_S, PERSON_LONGEST_S = 60.0, 4 * 3_600.0
"""Of a mailbox that says "not now": greylisting wants minutes (RFC 6647), a full one hours."""
MOST_DEFERRALS_OF_A_PERSON = 48
"""Five days of asking, after which a sender gives up (RFC 5321 §4.5.4.1)."""
LONGEST_ASKED_S = 3_600.0
"""A provider that asks for more has another clock than we."""


def retry_after(of: int | str, time: int, asked_s: float | None = None) -> Micros:
    """How long a batch or a connector waits when it is deferred for the n-th time in a row.

    What the provider asked for is the least, up to a tenth later.
    """
    if asked_s is not None:
        return round(min(asked_s, LONGEST_ASKED_S) * (1 + _spread(of, time) / 10) * SECOND)
    return _doubled(FIRST_S, LONGEST_S, of, time)


def person_retry_after(batch_id: int, time: int, asked_s: float | None = None) -> Micros:
    """How long people wait whose own mailboxes or numbers say "not now" for the n-th time in a row."""
    return (
        retry_after(batch_id, time, asked_s) if asked_s else _doubled(PERSON_FIRST_S, PERSON_LONGEST_S, batch_id, time)
    )


def _doubled(first_s: float, longest_s: float, of: int | str, time: int) -> Micros:
    longest: float = min(longest_s, first_s * 2.0 ** min(time - 1, 20))
    return round(longest * (0.5 + _spread(of, time) / 2) * SECOND)


def _spread(of: int | str, time: int) -> float:
    return (hash64("backoff", of, time) % 1_000) / 1_000

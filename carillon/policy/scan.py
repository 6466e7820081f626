"""How far back the sends of a person must be read for its caps to be exact: as far as the longest window, and as much
farther as the latest hand-over in it was late.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.limits import Cap
from carillon.kernel.clock import DAY, MINUTE, SECOND, Micros
from carillon.kernel.durations import Span
from carillon.store import tables as t
from carillon.store.ledger_tables import LATE_BATCH, OPEN_BATCH, WITHDRAWN_BATCH

PUNCTUAL: Micros = 15 * MINUTE
"""A hand-over at most this late stands where it was due, so that weekly messages stay a week apart."""

_UNDER_WAY = ("ready", "claimed")
_OPEN = (*_UNDER_WAY, "unsure")

_LONGEST = {"day": 2 * DAY, "week": 8 * DAY, "month": 32 * DAY}
"""A period of the calendar, wherever in it an instant lies, with the hour that a changed clock may add."""


def scan_from(connection: Connection, caps: Sequence[Cap], resends: bool, now: Micros) -> Micros:
    """No send that was due before this instant can count for one of the caps."""
    b = t.batch.c
    since = now - PUNCTUAL - max(longest(cap) for cap in caps)
    latest = sa.select(sa.func.max(b.claimed_at - b.due_at)).where(sa.text(LATE_BATCH), b.claimed_at > since)
    lateness = connection.scalar(latest) or 0
    pending = connection.scalar(sa.select(sa.func.min(b.due_at)).where(sa.text(OPEN_BATCH), is_pending(resends)))
    return min(since - lateness, since if pending is None else pending - 1)


def not_in_time(since: Micros) -> sa.CompoundSelect[tuple[int]]:
    """The batches whose people do not simply count where they were due, of all that a scan from `since` on comes upon:
    what has not left yet, what left late, what was withdrawn. Few beside those that left, and each has its index.
    """
    b = t.batch.c
    # Who left late stands nowhere later than at the hand-over; nobody is decided before they are due.
    late = sa.select(b.id).where(sa.text(LATE_BATCH), b.claimed_at > since)
    withdrawn = sa.select(b.id).where(sa.text(WITHDRAWN_BATCH), b.decided_at >= since)
    return sa.union_all(sa.select(b.id).where(sa.text(OPEN_BATCH)), late, withdrawn)


def is_pending(resends: bool, *, wanted: bool = True) -> sa.ColumnElement[bool]:
    """A batch that may still be handed over at any time: `resends` says that the house repeats every unknown hand-over.

    Those that a decision wants to repeat already (`wanted`) are pending, too, but not to each other: each is asked in
    its turn, and counts the earlier ones that passed.
    """
    b = t.batch.c
    is_wanted = b.resend_at.is_not(None)
    if resends and wanted:
        return b.state.in_(_OPEN)
    repeated = [sa.and_(b.state == "unsure", is_wanted if wanted else sa.not_(is_wanted))] if resends or wanted else []
    return sa.or_(b.state.in_(_UNDER_WAY), *repeated)


def longest(cap: Cap) -> Micros:
    """How long a window of the cap can be."""
    return cap.per.seconds * SECOND if isinstance(cap.per, Span) else _LONGEST[cap.per]

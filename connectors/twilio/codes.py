"""Twilio's error codes: what each means for a message that was refused, or that failed later."""

from __future__ import annotations

from carillon.delivery.protocol import Deferred, Held, Outcome, Rejected
from carillon.feedback.model import Bounce

INVALID_NUMBER = frozenset({21211, 21214, 21217, 21614, 21635})
"""Not a number, not a mobile, a landline: dead for SMS."""

OPTED_OUT = frozenset({21610})
"""This recipient told this sender to stop; never retry."""

NOT_NOW = frozenset({20429, 21611, 14107})
"""Too many requests, or the sender's queue holds ten hours: never accepted, safe to repeat later."""

NO_WAY_YET = frozenset({21408, 21612})
"""The country is not enabled, or this sender has no route there: a matter of set-up that a person mends. Others fare
better, and whoever is concerned waits; after an hour it is asked again."""
ASKED_AGAIN_S = 3_600.0

CONNECTOR = frozenset(
    {20003, 20005, 20008, 20404, 21212, 21603, 21606, 21609, 21620, 21659, 21660, 21701, 30002, 30034}
)
"""Keys, account, sender or callback are wrong: no other message would fare better."""

BOUNCE: dict[str, Bounce] = {
    **dict.fromkeys((str(code) for code in INVALID_NUMBER), "hard"),
    "30002": "block",  # the account is suspended
    "30004": "block",  # blocked by the handset or the carrier
    "30005": "hard",  # unknown destination
    "30006": "hard",  # landline
    "30007": "block",  # the carrier filtered this text
    "30034": "block",  # the sender is not registered
    "30450": "block",  # SMS pumping
    "30610": "block",  # US quiet hours
    "30640": "block",  # a number of somebody known to sue
    "21610": "block",
}
"""Of a message that failed after it was accepted; what is not named is soft (30001 the queue ran over, 30003 out of reach,
30008 unknown, 30036 too late)."""

STOPS = frozenset({"30002", "30034"})
"""Told of a message that was accepted: no other message of this sender would arrive either."""


def outcome_of_code(code: int, reason: str, wait_s: float | None = None) -> Outcome | None:
    """The outcome of a request refused with this code; None where the HTTP status alone decides."""
    if code in INVALID_NUMBER:
        return Rejected(reason, str(code), invalid_address=True)
    if code in OPTED_OUT:
        return Rejected(reason, str(code), suppressed=True)
    if code in NOT_NOW:
        return Deferred(reason, wait_s)
    if code in NO_WAY_YET:
        return Deferred(reason, ASKED_AGAIN_S, "person")
    if code in CONNECTOR:
        return Held(reason)
    return None

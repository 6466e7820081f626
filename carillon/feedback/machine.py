"""Machine traffic: which opens and clicks no person made. Kept and flagged, never counted.

What one report says by itself is decided here when it comes in. What only its neighbours tell (a click within seconds
of delivery, all links of a mail at once) is decided by the fold, anew whenever one of them arrives.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from carillon.feedback.model import Feedback, FeedbackKind
from carillon.kernel.clock import SECOND, Micros

FAST_CLICK: Micros = 5 * SECOND
"""A click on a mail earlier than this after its delivery is a scanner's: nobody reads that fast."""
BURST: Micros = 10 * SECOND
"""All links of a mail within this time of each other are a scanner's …"""
BURST_LINKS = 3
"""… if the mail has at least so many: both links of a short mail may well be a person's."""
MOST_CLICKS = 1000
"""More clicks than this on one mail are no person's, whatever else they look like."""

# is-bot calls these mail programs bots (facts of 2026-11), and people would vanish: they are asked first.
_MAIL_CLIENT = re.compile(
    r"Outlook-(?:Android|iOS)/|Microsoft Outlook|ms-office|YahooMobileMail|Airmail|Superhuman|Thunderbird/|"
    r"Spark/|eM ?Client/|Mailspring|Postbox/|Canary Mail|Newton/|BlueMail|AquaMail|K-9 Mail|FairEmail|MailMate",
    re.IGNORECASE,
)

_LONGEST_AGENT = 400
"""No browser says more of itself; strangers fill the cache with what they like."""

_PEOPLE_OR_MACHINES = (FeedbackKind.OPENED, FeedbackKind.CLICKED)


def machine_reason(report: Feedback) -> str | None:
    """Why this open or click is a machine's by itself (`provider`, `agent`), or None where it may be a person's."""
    if report.kind not in _PEOPLE_OR_MACHINES:
        return None
    if report.machine:
        return "provider"
    return "agent" if is_machine_agent(report.user_agent[:_LONGEST_AGENT]) else None


@lru_cache(maxsize=16_384)
def is_machine_agent(user_agent: str) -> bool:
    """Whether a user agent is a proxy's, scanner's or program's; an empty one says nothing, so no."""
    if not user_agent or _MAIL_CLIENT.search(user_agent):
        return False
    return bool(_bots().is_bot(user_agent))


@cache
def _bots() -> Any:
    from is_bot import Bots

    return Bots()

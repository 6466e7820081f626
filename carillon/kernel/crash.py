"""Named crash points: where the kill suite ends a process without warning, as a power cut would.

`CARILLON_CRASH_AT=after_claim_commit:3` ends the process when it passes that point for the third time. In service the
variable is not set, and a point costs one look at the environment.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Literal

CrashPoint = Literal[
    "before_claim",
    "in_claim",
    "after_claim_commit",
    "mid_hand_over",
    "after_hand_over_before_settle",
    "in_settle",
    "after_settle",
    "before_effects",
    "between_stages",
]
"""`mid_hand_over` lies between two windows of a connector that sends one by one; `before_effects` between the ledger's
commit of a refusal and what core learns from it; `between_stages` before each stage of an advance."""

_passed: Counter[str] = Counter()


def crash_point(name: CrashPoint) -> None:
    """End this process at once, by SIGKILL, if `CARILLON_CRASH_AT` names this passage of this point."""
    wanted = os.environ.get("CARILLON_CRASH_AT")
    if wanted is None:
        return
    _passed[name] += 1
    where, _, passage = wanted.partition(":")
    if where == name and _passed[name] == int(passage or 1):
        os.kill(os.getpid(), signal.SIGKILL)

"""Named crash points: where the kill suite ends a process without warning, as a power cut would.

In service `CARILLON_CRASH_AT` is not set, and a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Literal

CrashPoint = Literal[
    "before_claim",
    "in_claim",
    "after_claim_commit",
    "mid_hand_over",
    "after_hand_over_before_settle",
    "in_settle",
    "after_settle",
]

_AT = os.environ.get("CARILLON_CRASH_AT")


def crash_point(name: CrashPoint) -> None:
    """End this process at once, by SIGKILL, if `CARILLON_CRASH_AT` named this point when it started."""
    if name == _AT:
        os.kill(os.getpid(), signal.SIGKILL)

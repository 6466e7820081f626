"""Why a contact who reached a message gets nothing, or not yet."""

from __future__ import annotations

from enum import StrEnum


class SkipReason(StrEnum):
    """Why a contact who reached a message gets nothing; in the order in which they are asked."""

    EXITED = "exited"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    NO_ADDRESS = "no_address"
    INVALID_ADDRESS = "invalid_address"
    SUPPRESSED = "suppressed"
    NO_CONSENT = "no_consent"
    EXCLUDED = "excluded"
    ONLY_IF = "only_if"
    NO_TRANSLATION = "no_translation"
    DUPLICATE_ADDRESS = "duplicate_address"
    CAPPED = "capped"
    NO_COUPON = "no_coupon"
    OVER_BUDGET = "over_budget"
    TEMPLATE_SKIP = "template_skip"
    RENDER_FAILED = "render_failed"
    HOLDOUT = "holdout"


class WaitReason(StrEnum):
    """Why a contact gets a message later: asked between `duplicate_address` and `capped`, a full cap that is waited for
    among them."""

    BLACKOUT = "blackout"
    QUIET_HOURS = "quiet_hours"
    CAP = "cap"


WAITS = frozenset(reason.value for reason in WaitReason)

"""Feedback in our words: what providers and people report about a send, before it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros


class FeedbackKind(StrEnum):
    """The value is stored as `event.kind` behind the prefix `message.` (`message.delivered`)."""

    PROCESSED = "processed"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    BOUNCED = "bounced"
    FAILED = "failed"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    REPLIED = "replied"
    UNKNOWN = "unknown"


Bounce = Literal["hard", "soft", "block"]
"""hard: the address is dead (suppress) · soft: try another day · block: this mail was refused (never suppress)."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One report. `natural_key` is the same for every redelivery of the same report, whatever the provider's event id."""

    kind: FeedbackKind
    at: Micros
    channel: Channel
    provider: str
    natural_key: str
    cid: str | None = None
    """Our token, where the provider gave it back."""
    provider_ref: str | None = None
    address: str | None = None
    machine: bool = False
    """The provider itself calls it a machine's (sg_machine_open)."""
    bounce: Bounce | None = None
    code: str = ""
    reason: str = ""
    url: str = ""
    user_agent: str = ""
    ip: str = ""
    raw: dict[str, Any] = field(default_factory=dict)

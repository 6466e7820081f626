"""Feedback in our words: what providers and people report about a send, before it is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    halts: bool = False
    """Nothing of this sender would arrive either: its account is suspended, its number not registered."""
    code: str = ""
    reason: str = ""
    url: str = ""
    link: int | None = None
    """The link's number in the content, where our own redirect saw the click."""
    user_agent: str = ""
    ip: str = ""
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A provider's call as it arrived: signatures are proved on these bytes and this URL, on nothing re-built."""

    url: str
    """Our configured public address, then the path and query exactly as they stood in the request line."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """One webhook of one provider account, as assembly passes it to the web: `/webhooks/<path>`."""

    path: str
    verify: Callable[[WebhookRequest], bool]
    """Whether the provider signed it; False for anything missing or unreadable."""
    parse: Callable[[WebhookRequest, Micros], Sequence[Feedback]]
    """The reports of one call, received at an instant; raises ValueError for a body that is none."""
    answer: str = ""
    """What the provider wants to read back (Twilio takes an inbound answer for a reply: an empty `<Response/>`)."""
    answer_type: str = "text/plain; charset=utf-8"

"""What is known of one contact, as plain Python: what the reference evaluator reads and `explain` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from carillon.kernel.clock import Micros

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventFact:
    kind: str
    at: Micros
    props: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SendFact:
    """One message to the contact and what became of it; `state` as in the ledger (accepted, unsure, closed, …)."""

    campaign: str
    step: str
    channel: str
    at: Micros
    """Its hand-over."""
    state: str
    enrolment: int = 0
    bounced_at: Micros | None = None
    opened_at: Micros | None = None
    machine_opened_at: Micros | None = None
    clicked_at: Micros | None = None


@dataclass(frozen=True, slots=True)
class EnrolmentFact:
    campaign: str
    entered_at: Micros
    is_live: bool


@dataclass(frozen=True, slots=True)
class CouponFact:
    """A code that the contact holds."""

    pool: str
    code: str
    enrolment: int
    valid_until: Micros | None = None
    redeemed_at: Micros | None = None


@dataclass(frozen=True, slots=True)
class Journey:
    """The enrolment that a condition of a journey is asked of."""

    enrolment: int
    entered_at: Micros
    reached: Mapping[str, Micros] = field(default_factory=dict)
    """Step → the instant from which `since: STEP` counts."""
    trigger: Document | None = None
    answer: Document | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One contact: `fields` by the names of data.yaml (`id`, `email`, `created_at`, `timezone` … included)."""

    fields: Document
    events: tuple[EventFact, ...] = ()
    sends: tuple[SendFact, ...] = ()
    enrolments: tuple[EnrolmentFact, ...] = ()
    coupons: tuple[CouponFact, ...] = ()
    lists: frozenset[str] = frozenset()
    permitted: frozenset[tuple[str, str]] = frozenset()
    """(topic, channel) that consent allows."""
    open_channels: frozenset[str] = frozenset()
    """Channels with a valid address that is not suppressed."""
    sql: Mapping[str, bool] = field(default_factory=dict)
    """Answers of the store to analysts' expressions, which only the store can give."""
    journey: Journey | None = None

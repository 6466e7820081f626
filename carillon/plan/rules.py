"""The house rules: what the workspace says for every campaign, as the engine needs it.

Written into the store by `apply` (`core.setting`, name `rules`), never part of a campaign's meaning: consent kinds,
senders, holdout and exclusions hold at the moment of hand-over, for versions that were applied before them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from carillon.definition.conditions import Condition, Span
from carillon.definition.confirming import asked_for, is_confirmation
from carillon.definition.limits import Budget, Limits
from carillon.definition.model import Attribution, CouponPool

LAST_TOUCH = Attribution()

ConsentKind = Literal["explicit", "double", "assumed"]


@dataclass(frozen=True, slots=True)
class TopicRule:
    """What messages of one topic are about, and which permission they need on each channel."""

    name: str
    marketing: bool
    titles: Mapping[str, str]
    """Language → the topic's public name; '' is the default."""
    consent: Mapping[str, ConsentKind]
    """Channel → what a yes must be. A channel that is missing here is not used under a marketing topic."""
    sender: str | None = None
    asks_for: str | None = None
    """The topic whose second yes is asked for under this one: a no to that one is a no to being asked."""


@dataclass(frozen=True, slots=True)
class SenderRule:
    """One line of `senders`."""

    name: str
    channel: str
    connector: str
    address: str = ""
    display_name: str = ""
    reply_to: str = ""
    messaging_service: str = ""
    url: str = ""
    """Where a webhook posts to."""
    fields: tuple[str, ...] = ()
    """The contact's fields that a webhook tells."""


@dataclass(frozen=True, slots=True)
class UnsurePolicy:
    """What becomes of a hand-over whose outcome is unknown."""

    action: Literal["hold", "resend", "resend_after"] = "hold"
    after: Span | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything outside the campaigns that decides who is written to, by whom, and at what cost."""

    name: str
    timezone: str
    currency: str
    address: str
    public_url: str
    languages: tuple[str, ...]
    """Offered languages, the default first."""
    country_language: Mapping[str, str]
    """Country → the language spoken to contacts who name none."""
    topics: Mapping[str, TopicRule]
    senders: tuple[SenderRule, ...]
    """In the order written: the first of a channel is its default."""
    exclude: Condition | None = None
    """Who is left out of all marketing, segments inlined; asked when a message falls due."""
    holdout: int = 0
    """Global control group, in buckets of 10,000."""
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Channel → country → price of one message (SMS: of one segment); country '' is the default."""
    margin: float | None = None
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """Currency → what one unit of it is worth in ours."""
    attribution: Attribution = LAST_TOUCH
    if_unsure_marketing: UnsurePolicy = UnsurePolicy()
    if_unsure_transactional: UnsurePolicy = UnsurePolicy()
    limits: Limits = field(default_factory=Limits)
    budget: Budget | None = None
    coupons: Mapping[str, CouponPool] = field(default_factory=dict)
    footer: Mapping[str, str] = field(default_factory=dict)
    """Country → what stands below every mail; '' is for all others."""
    sms_footer: Mapping[str, str] = field(default_factory=dict)
    allow_list: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Channel → the only addresses (or `@domains`) that are written to on it, in small letters; for staging."""

    def topic(self, name: str) -> TopicRule:
        """The topic's rule; raises KeyError for one that is gone, unless it only asked for another's second yes."""
        found = self.topics.get(name)
        if found is None and is_confirmation(name):
            return TopicRule(name, False, {}, {}, asks_for=asked_for(name))
        return self.topics[name]

    def sender(self, channel: str, *, topic: str, named: str | None = None) -> SenderRule | None:
        """Who writes: the campaign's `sender`, else the topic's, else the channel's first; None where there is none."""
        mine = [s for s in self.senders if s.channel == channel]
        for wanted in (named, self.topic(topic).sender):
            for sender in mine:
                if wanted is not None and sender.name == wanted:
                    return sender
        return mine[0] if mine else None

"""What the shop posts, in Segment's shapes: strict where a mistake would lose something, deaf to what does not concern us."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

Word = Annotated[str, Field(min_length=1, max_length=500)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, str_strip_whitespace=True, frozen=True)

    userId: Word | None = None
    anonymousId: Word | None = None
    messageId: Word | None = None
    timestamp: AwareDatetime | None = None
    originalTimestamp: AwareDatetime | None = None
    sentAt: AwareDatetime | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> _Message:
        if self.userId is None and self.anonymousId is None:
            raise ValueError("needs userId or anonymousId")
        return self

    @property
    def at(self) -> datetime | None:
        """When it happened, as far as the sender says. Without an instant a repetition is a second event."""
        return self.timestamp or self.originalTimestamp or self.sentAt

    @property
    def who(self) -> str:
        """The shop's id of the contact, else a key under which an unknown visitor waits to be identified."""
        return self.userId if self.userId is not None else anonymous(str(self.anonymousId))


class Track(_Message):
    type: Literal["track"] = "track"
    event: Word
    properties: dict[str, Any] = Field(default_factory=dict)


class Identify(_Message):
    type: Literal["identify"] = "identify"
    userId: Word
    traits: dict[str, Any] = Field(default_factory=dict)


class Consent(_Message):
    """One word of a contact about one topic on one channel. Segment has no such call: the shape is ours."""

    type: Literal["consent"] = "consent"
    userId: Word
    topic: Word
    channel: Word
    state: Literal["yes", "confirmed", "no"] = "yes"
    evidence: Word
    """How the shop knows: the form and its words, the page, the caller's address."""


class Enter(BaseModel):
    """One contact into a campaign with an `api` entry; the same key again changes nothing."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, str_strip_whitespace=True, frozen=True)

    campaign: Word
    userId: Word
    key: Word
    properties: dict[str, Any] = Field(default_factory=dict)


Message = Annotated[Track | Identify | Consent, Field(discriminator="type")]

ONE: TypeAdapter[Track | Identify | Consent] = TypeAdapter(Message)
ENTER: TypeAdapter[Enter] = TypeAdapter(Enter)


def anonymous(anonymous_id: str) -> str:
    """The orphan's key of a visitor who is not known yet."""
    return f"anonymous:{anonymous_id}"


def event_name(given: str) -> str:
    """`Order Completed`, as Segment spells it, is our order_completed."""
    return re.sub(r"[^a-z0-9]+", "_", given.strip().lower()).strip("_")


def reasons(error: ValidationError) -> str:
    """All that is wrong with one message, in a line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in found['loc'] if part not in ('track', 'identify', 'consent')) or 'message'}: {found['msg']}"
        for found in error.errors(include_url=False, include_input=False)
    )

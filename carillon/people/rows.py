"""What a file's rows become, as the store takes them. Light: the process that reads a file imports no database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from carillon.kernel.channels import CHANNEL_NUMBER, Channel
from carillon.kernel.clock import Micros

INVALID_EMAIL, INVALID_PHONE = 1 << CHANNEL_NUMBER[Channel.EMAIL], 1 << CHANNEL_NUMBER[Channel.SMS]

_NOTHING: Mapping[str, Any] = {}


class ArrivedEvent(NamedTuple):
    """An event that came in, typed (`events.EventShape`) and with its key (`events.event_hash`)."""

    occurred_at: Micros
    hash64: int
    kind: str
    shop_id: str
    """The contact's id as the shop knows it."""
    value_cents: int | None
    props: str
    """JSON text."""
    currency: str | None = None
    """None: the workspace's."""


SHOP_ID = ArrivedEvent._fields.index("shop_id")


class Wish(NamedTuple):
    """What a row says about one topic on one channel; `at` None = as of now, told only where it differs from what stands."""

    topic: str
    channel: str
    state: Literal["yes", "confirmed", "no"]
    evidence: str
    at: Micros | None


class ContactRow(NamedTuple):
    """What was told about one contact; None = not told. `attrs` holds the told fields of data.yaml and the names."""

    shop_id: str
    email: str | None = None
    phone: str | None = None
    phone_country: str | None = None
    invalid_bits: int = 0
    """Addresses that were told and cannot be one."""
    country: str | None = None
    language: str | None = None
    timezone: str | None = None
    created_at: Micros | None = None
    attrs: Mapping[str, Any] = _NOTHING
    consents: tuple[Wish, ...] = ()

"""Channels: the words a message step may start with, and the bits that those to people take in folded rows."""

from __future__ import annotations

from enum import StrEnum


class Channel(StrEnum):
    """A way on which a step sends. The value is the word in YAML and in the store."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    WHATSAPP = "whatsapp"
    WEBHOOK = "webhook"
    NOTIFY = "notify"


TO_PEOPLE = (Channel.EMAIL, Channel.SMS, Channel.PUSH, Channel.WHATSAPP)
"""These reach the contact: what the contact has an address, a consent and an answer on."""

OURS = ("notify", "webhook")
"""These reach one of ours, a person or a system: no consent, cap, quiet hour or answer of the contact is about them."""
CHANNEL_NUMBER: dict[Channel, int] = {Channel.EMAIL: 0, Channel.SMS: 1, Channel.PUSH: 2, Channel.WHATSAPP: 3}
"""Stable for ever: `standing.closed_bits` and `shared_bits` are stored by it."""

SEND_NUMBER: dict[Channel, int] = {**CHANNEL_NUMBER, Channel.WEBHOOK: 4, Channel.NOTIFY: 5}
"""Stable for ever: `send.channel` is stored by it."""

NO_ADDRESS, INVALID_ADDRESS, SUPPRESSED = 0, 4, 8
"""Groups of four bits in `standing.closed_bits`; the bit of a channel is `1 << (group + CHANNEL_NUMBER[channel])`."""


def closed_bit(group: int, channel: Channel) -> int:
    """The bit that says why `channel` is closed for a contact (`group` is NO_ADDRESS, INVALID_ADDRESS or SUPPRESSED)."""
    return 1 << (group + CHANNEL_NUMBER[channel])


def shared_bit(channel: Channel) -> int:
    """The bit of `standing.shared_bits` that says that somebody else may have the contact's address on `channel`."""
    return 1 << CHANNEL_NUMBER[channel]

"""Channels: the words a step may start with, and the bits they take in folded rows."""

from __future__ import annotations

from enum import StrEnum


class Channel(StrEnum):
    """A way to reach a contact. The value is the word in YAML and in the store."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    WHATSAPP = "whatsapp"


CHANNEL_NUMBER: dict[Channel, int] = {Channel.EMAIL: 0, Channel.SMS: 1, Channel.PUSH: 2, Channel.WHATSAPP: 3}
"""Stable for ever: `standing.closed_bits` is stored by it."""

NO_ADDRESS, INVALID_ADDRESS, SUPPRESSED = 0, 4, 8
"""Groups of four bits in `standing.closed_bits`; the bit of a channel is `1 << (group + CHANNEL_NUMBER[channel])`."""


def closed_bit(group: int, channel: Channel) -> int:
    """The bit that says why `channel` is closed for a contact (`group` is NO_ADDRESS, INVALID_ADDRESS or SUPPRESSED)."""
    return 1 << (group + CHANNEL_NUMBER[channel])

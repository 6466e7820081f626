"""Who is never written to again, as a row; light, for those who only read."""

from __future__ import annotations

from typing import NamedTuple

from carillon.kernel.clock import Micros


class Suppressed(NamedTuple):
    """An address key (as in `contact.email_key` and `phone_key`), its channel, and why."""

    address_key: str
    channel: str
    reason: str
    """hard_bounce | complaint | manual | import …"""
    at: Micros

"""The sandbox: SendGrid's and Twilio's connectors pointed at loopback, with keys that the sandbox issues itself.

Settings: those of the two providers, as `carillon.sandbox.keys.Keys.settings(url)` gives them. An address that is not
on loopback is refused, so that a test setting can never reach a real account.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from carillon.delivery.protocol import Connector
from carillon.kernel.channels import Channel
from connectors.sendgrid import connector as sendgrid
from connectors.twilio import connector as twilio

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def make(settings: Mapping[str, str], channel: Channel, *, name: str = "sandbox") -> Connector:
    """The connector of one channel; raises ValueError for a channel without a double, or an address elsewhere."""
    match channel:
        case Channel.EMAIL:
            _refuse_elsewhere(settings.get("SENDGRID_BASE_URL", ""))
            return sendgrid.make(settings, name=name)
        case Channel.SMS:
            _refuse_elsewhere(settings.get("TWILIO_BASE_URL", ""))
            return twilio.make(settings, name=name)
        case _:
            raise ValueError(f"the sandbox has no {channel.value}")


def _refuse_elsewhere(base_url: str) -> None:
    if httpx.URL(base_url).host not in LOOPBACK:
        raise ValueError(f"the sandbox lives on loopback, not at {base_url!r}")

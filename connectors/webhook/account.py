"""Can calls be signed? Asked by `carillon doctor`; no system is called."""

from __future__ import annotations

from collections.abc import Mapping

from carillon.delivery.protocol import Account
from connectors.webhook.connector import make


def account(settings: Mapping[str, str]) -> Account:
    """Whether the secret that signs calls is set."""
    try:
        make(settings)
    except ValueError as fault:
        return Account(False, str(fault), "set WEBHOOK_SECRET, and tell it to the systems that are called")
    return Account(True, "calls are signed with WEBHOOK_SECRET")

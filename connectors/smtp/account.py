"""Does the relay let us in? Connect, EHLO, AUTH and goodbye; asked by `carillon doctor`, nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiosmtplib

from carillon.delivery.protocol import Account
from connectors.smtp.connector import dialler

LOOK = "look at host, port, user and password in SMTP_URL"


def account(settings: Mapping[str, str]) -> Account:
    """What the relay of the settings says to EHLO and AUTH."""
    try:
        dial = dialler(settings)
    except ValueError as fault:
        return Account(False, str(fault), LOOK)
    return asyncio.run(_ask(dial()))


async def _ask(smtp: aiosmtplib.SMTP) -> Account:
    try:
        await smtp.connect()  # with EHLO, STARTTLS where it is offered, and AUTH where the address names a user
        await smtp.quit()
    except aiosmtplib.SMTPAuthenticationError as fault:
        return Account(False, f"the relay refuses user and password ({fault.code})", LOOK)
    except (aiosmtplib.SMTPException, OSError, ValueError) as fault:
        return Account(False, f"the relay does not let us in: {fault}", LOOK)
    finally:
        smtp.close()
    return Account(True, f"{smtp.hostname} lets us in")

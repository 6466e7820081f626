"""SMTP: e-mail through any relay, one mail a person, over connections that are kept.

Setting: `SMTP_URL`, as smtp://user:password@host:587 (STARTTLS where the server offers it), smtps://host:465 (TLS from
the start). SMTP answers for each mail: a refusal before the body is read means that nothing left, a connection lost
after it means that nobody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from carillon.delivery.protocol import (
    Capabilities,
    Deferred,
    Held,
    Outcome,
    Parcel,
    People,
    Shared,
    SharedEmail,
)
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Clock, SystemClock, from_micros
from connectors.smtp.carry import Bag, bag_of, carry
from connectors.smtp.mime import Letters, compose
from connectors.smtp.wire import ANSWER_WITHIN_S, Wire, take_over
from connectors.transport import reason_of

CAPABILITIES = Capabilities(
    channel=Channel.EMAIL,
    whole=False,
    max_people=500,
    max_bytes=25_000_000,
    concurrency=8,
    substitutes=False,
    validity=False,
    feedback=False,
)


class Smtp:
    """One relay."""

    capabilities = CAPABILITIES

    def __init__(self, dial: Callable[[], aiosmtplib.SMTP], name: str, clock: Clock) -> None:
        self.name, self._dial, self._clock = name, dial, clock
        self._idle: list[Wire] = []
        self._gate = asyncio.Semaphore(CAPABILITIES.concurrency)

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Letters:
        """Everything encoded but the seams; raises ValueError for what is no mail."""
        if not isinstance(message, SharedEmail):
            raise ValueError(f"{self.name} sends e-mail only")
        return compose(message, people)

    async def hand_over(self, parcel: Parcel, rows: Sequence[int]) -> Sequence[Outcome]:
        """One mail a row over the kept connections, and one outcome a row."""
        if not isinstance(parcel, Letters):
            raise TypeError(f"{self.name} built no {type(parcel).__name__}")
        bag = bag_of(parcel, rows, format_datetime(from_micros(self._clock.now())))
        await asyncio.gather(*[self._carry(bag) for _ in range(min(len(bag.left), CAPABILITIES.concurrency))])
        return [bag.outcomes.get(row, bag.stopped) for row in rows]

    async def _carry(self, bag: Bag) -> None:
        """Carry mails out of the bag over one connection after the other, until it is empty or no relay answers."""
        async with self._gate:
            while bag.left:
                wire = self._idle.pop() if self._idle else await self._connect(bag)
                if wire is None:
                    return
                await carry(wire, bag)
                if wire.is_over:
                    if not wire.has_carried:
                        return
                else:
                    self._idle.append(wire)

    async def _connect(self, bag: Bag) -> Wire | None:
        smtp = self._dial()
        try:
            await smtp.connect()
            return take_over(smtp)
        except Exception as error:  # whatever it is, no mail has begun
            smtp.close()
            bag.stopped = _no_connection(error)
            return None

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().quit()


def make(settings: Mapping[str, str], *, name: str = "smtp", clock: Clock | None = None) -> Smtp:
    """The connector of the relay that the settings name; raises ValueError that says what is missing or wrong."""
    return Smtp(dialler(settings), name, clock or SystemClock())


def dialler(settings: Mapping[str, str]) -> Callable[[], aiosmtplib.SMTP]:
    """Makes connections to the relay that the settings name; raises ValueError that says what is missing or wrong."""
    url = settings.get("SMTP_URL", "")
    if not url:
        raise ValueError("SMTP_URL is not set (smtp://user:password@host:587 or smtps://host:465)")
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError(f"SMTP_URL begins with smtp:// or smtps:// and names a host; it begins with {parts.scheme!r}")
    tls = parts.scheme == "smtps"

    def dial() -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=parts.hostname,
            port=parts.port or (465 if tls else 587),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=tls,
            timeout=ANSWER_WITHIN_S,
        )

    return dial


def _no_connection(error: Exception) -> Outcome:
    match error:
        case aiosmtplib.SMTPResponseException(code=code):
            return Held(reason_of(error)) if code >= 500 else Deferred(reason_of(error))
        case OSError():  # refused, timed out, lost: aiosmtplib's own classes for these are OSErrors too
            return Deferred(reason_of(error), because="away")
        case _:  # it answers, and will never let us in: no login method, no TLS
            return Held(reason_of(error))

"""SMTP: e-mail through any relay, one mail a person, over connections that are kept.

Setting: `SMTP_URL`, as smtp://user:password@host:587 (STARTTLS where the server offers it), smtps://host:465 (TLS from
the start). SMTP answers for each mail: a refusal before the body is read means that nothing left, a connection lost
after it means that nobody knows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from carillon.delivery.protocol import (
    Accepted,
    Capabilities,
    Deferred,
    Held,
    Outcome,
    Parcel,
    People,
    Rejected,
    SharedEmail,
    SharedSms,
    Unsure,
)
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Clock, SystemClock, from_micros
from connectors.smtp.mime import Letters, compose
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

ANSWER_WITHIN_S = 20.0

LOST = "the connection was lost before the mail began"

BAD_MAILBOX = re.compile(r"\b5\.1\.(?:0|1|2|3|6|10)\b")
ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")


class Smtp:
    """One relay."""

    capabilities = CAPABILITIES

    def __init__(self, dial: Callable[[], aiosmtplib.SMTP], name: str, clock: Clock) -> None:
        self.name, self._dial, self._clock = name, dial, clock
        self._idle: list[aiosmtplib.SMTP] = []
        self._gate = asyncio.Semaphore(CAPABILITIES.concurrency)

    def build(self, message: SharedEmail | SharedSms, people: People, valid_for_s: int | None = None) -> Letters:
        """Everything encoded but the seams; raises ValueError for what is no mail."""
        if not isinstance(message, SharedEmail):
            raise ValueError(f"{self.name} sends e-mail only")
        return compose(message, people)

    async def hand_over(self, parcel: Parcel, rows: Sequence[int]) -> Sequence[Outcome]:
        """One mail a row over the kept connections, and one outcome a row."""
        if not isinstance(parcel, Letters):
            raise TypeError(f"{self.name} built no {type(parcel).__name__}")
        date = format_datetime(from_micros(self._clock.now()))
        return await asyncio.gather(*[self._one(parcel, row, date) for row in rows])

    async def _one(self, letters: Letters, row: int, date: str) -> Outcome:
        to = _envelope_address(letters.people.addresses[row])
        if not to:
            return Rejected(f"no address: {letters.people.addresses[row][:100]!r}", invalid_address=True)
        async with self._gate:
            while self._idle:
                # A kept connection may have been closed meanwhile: then nothing left, and the next one is tried.
                outcome = await self._transfer(self._idle.pop(), letters, row, to, date)
                if not isinstance(outcome, Deferred) or outcome.reason != LOST:
                    return outcome
            smtp = self._dial()
            try:
                await smtp.connect()
            except Exception as error:  # whatever it is, no mail has begun
                smtp.close()
                return _no_connection(error)
            return await self._transfer(smtp, letters, row, to, date)

    async def _transfer(self, smtp: aiosmtplib.SMTP, letters: Letters, row: int, to: str, date: str) -> Outcome:
        """One mail over one connection, which is kept afterwards where it is still good."""
        begun = False
        options, encoding = ([], "ascii") if to.isascii() else (["SMTPUTF8"], "utf-8")
        try:
            if options and not smtp.supports_extension("smtputf8"):
                self._idle.append(smtp)
                return Rejected("the relay takes ASCII addresses only")
            await smtp.mail(letters.sender, options=options, encoding=encoding)
            await smtp.rcpt(to, encoding=encoding)
            content = letters.render(row, date)
            begun = True
            await smtp.data(content)
        except aiosmtplib.SMTPResponseException as refusal:
            await self._keep_after(smtp, refusal)
            return _refused(refusal)
        except (aiosmtplib.SMTPException, OSError) as error:
            smtp.close()
            if begun:
                return Unsure(reason_of(error))
            # A relay that is only slow is not asked again over the next connection: the lease runs.
            return Deferred(reason_of(error) if isinstance(error, TimeoutError) else LOST)
        self._idle.append(smtp)
        return Accepted(letters.message_id(row))

    async def _keep_after(self, smtp: aiosmtplib.SMTP, refusal: aiosmtplib.SMTPResponseException) -> None:
        try:
            if refusal.code == 421:  # "closing": whatever is asked next is lost
                raise aiosmtplib.SMTPServerDisconnected("421")
            await smtp.rset()
        except (aiosmtplib.SMTPException, OSError):
            smtp.close()
        else:
            self._idle.append(smtp)

    async def close(self) -> None:
        while self._idle:
            smtp = self._idle.pop()
            try:
                await smtp.quit(timeout=2)
            except (aiosmtplib.SMTPException, OSError):
                smtp.close()


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


def _envelope_address(address: str) -> str:
    """The address as SMTP takes it, its domain in ASCII; "" for what is none."""
    local, _, domain = address.rpartition("@")
    if not local or not domain or re.search(r"[\s<>\x00-\x1f\x7f]", address):
        return ""
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return ""


def _no_connection(error: Exception) -> Outcome:
    match error:
        case aiosmtplib.SMTPResponseException(code=code):
            return Held(reason_of(error)) if code >= 500 else Deferred(reason_of(error))
        case OSError():  # refused, timed out, lost: aiosmtplib's own classes for these are OSErrors too
            return Deferred(reason_of(error))
        case _:  # it answers, and will never let us in: no login method, no TLS
            return Held(reason_of(error))


def _refused(refusal: aiosmtplib.SMTPResponseException) -> Outcome:
    """What a refusal means: 4xx is not now; 5xx of the sender holds, of a person or a body rejects that one."""
    said = f"{refusal.code} {refusal.message}"[:300]
    if refusal.code < 500:
        return Deferred(said)
    match refusal:
        case aiosmtplib.SMTPRecipientRefused():
            return Rejected(said, str(refusal.code), invalid_address=_is_bad_mailbox(refusal))
        case aiosmtplib.SMTPDataError():
            return Rejected(said, str(refusal.code))
        case _:
            return Held(said)


def _is_bad_mailbox(refusal: aiosmtplib.SMTPResponseException) -> bool:
    # 550 is "no such mailbox" and "not by our policy" alike: the enhanced code (RFC 3463) tells them apart.
    if ENHANCED.search(refusal.message):
        return bool(BAD_MAILBOX.search(refusal.message))
    return refusal.code in (550, 551, 553)

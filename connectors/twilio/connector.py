"""Twilio: SMS, one request a person.

Settings: `TWILIO_ACCOUNT_SID`, `TWILIO_AUTH_TOKEN`; `TWILIO_BASE_URL` where it is not https://api.twilio.com. A sender
is a Messaging Service (`messaging_service: MG…`) or a number. Twilio has no idempotency key and sends twice what is
posted twice, so a 5xx or a lost answer is unsure; 429 was "never processed". Twilio queues for up to ten hours: every
message carries the seconds for which it is still worth delivering. Our cid travels in the query of the status
callback, which is signed and echoed, and joins reports to sends even where the 201 was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, urlencode, urlsplit, urlunsplit

import orjson

from carillon.delivery.protocol import Capabilities, Outcome, Parcel, People, Rejected, Shared, SharedSms
from carillon.kernel.channels import Channel
from connectors import transport
from connectors.filling import cut
from connectors.twilio.codes import outcome_of_code

CAPABILITIES = Capabilities(
    channel=Channel.SMS,
    whole=False,
    max_people=1_000,
    max_bytes=29_000_000,
    concurrency=32,
    substitutes=False,
    validity=True,
    feedback=True,
)

MAX_LENGTH = 1_600
LONGEST_VALIDITY_S = 36_000

CALLBACK_RETRIES = "rc=3&rp=all"
"""Twilio reads this from the URL's fragment: three retries on any failure, where the default is one on refused
connections. It is no part of what is signed."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A batch ready to go: a form a person, `""` where the text is longer than Twilio takes."""

    forms: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.forms)


class Twilio:
    """One Twilio account."""

    capabilities = CAPABILITIES

    def __init__(self, messages: transport.Endpoint, name: str) -> None:
        self.name, self._messages = name, messages

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Texts:
        """A form for each person; raises ValueError for what Twilio never takes."""
        if not isinstance(message, SharedSms):
            raise ValueError(f"{self.name} sends SMS only")
        shared = urlencode(_shared(message, valid_for_s))
        text = cut(message.text, list(people.values))
        callback = _callback(message.status_callback)
        return Texts(tuple(
            _form(shared, address, text.fill(people.values, row), callback, cid)
            for row, (address, cid) in enumerate(zip(people.addresses, people.cids, strict=True))
        ))  # fmt: skip

    async def hand_over(self, parcel: Parcel, rows: Sequence[int]) -> Sequence[Outcome]:
        """One request a row, as many at once as connections allow, and one outcome a row."""
        if not isinstance(parcel, Texts):
            raise TypeError(f"{self.name} built no {type(parcel).__name__}")
        forms, gate = parcel.forms, asyncio.Semaphore(CAPABILITIES.concurrency)

        async def one(row: int) -> Outcome:
            async with gate:
                return await self._post(forms[row])

        return await asyncio.gather(*[one(row) for row in rows])

    async def _post(self, form: str) -> Outcome:
        if not form:
            return Rejected(f"longer than {MAX_LENGTH} characters", "21617")
        try:
            answer = await self._messages.post(form.encode())
        except Exception as error:  # whatever it is: the table says what it means, and the unnamed is unsure
            return transport.outcome(error, people=1, reason=transport.reason_of(error))
        return _outcome(answer)

    async def close(self) -> None:
        await self._messages.close()


def make(settings: Mapping[str, str], *, name: str = "twilio") -> Twilio:
    """The connector of the account that the settings name; raises ValueError that says what is missing."""
    missing = [key for key in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN") if not settings.get(key)]
    if missing:
        raise ValueError(f"{' and '.join(missing)} not set (Twilio Console → Account Info)")
    account = settings["TWILIO_ACCOUNT_SID"]
    api = (settings.get("TWILIO_BASE_URL") or "https://api.twilio.com").rstrip("/")
    messages = transport.Endpoint(
        f"{api}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json",
        connections=CAPABILITIES.concurrency,
        auth=(account, settings["TWILIO_AUTH_TOKEN"]),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    return Twilio(messages, name)


def _shared(message: SharedSms, valid_for_s: int | None) -> dict[str, str]:
    sender = message.sender
    if sender.messaging_service:
        fields = {"MessagingServiceSid": sender.messaging_service}
    elif sender.address:
        fields = {"From": sender.address}
    else:
        raise ValueError("an SMS needs a sender: a messaging service or a number")
    if valid_for_s is not None:
        fields["ValidityPeriod"] = str(min(max(valid_for_s, 1), LONGEST_VALIDITY_S))
    return fields


def _callback(url: str) -> str:
    """The status callback, open at its end for the cid's value; "" where there is none."""
    if not url:
        return ""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&cid=" if parts.query else "cid=", fragment=""))


def _form(shared: str, address: str, text: str, callback: str, cid: str) -> str:
    if not text:
        raise ValueError("an SMS needs a text")
    if len(text) > MAX_LENGTH:
        return ""
    form = f"To={quote_plus(address)}&{shared}&Body={quote_plus(text)}"
    if callback:
        form += f"&StatusCallback={quote_plus(f'{callback}{quote_plus(cid)}#{CALLBACK_RETRIES}')}"
    return form


def _outcome(answer: transport.Answer) -> Outcome:
    said = _said(answer)
    code = said.get("code")
    reason = f"{code or answer.status_code} {said.get('message') or answer.reason_phrase}"[:300]
    if answer.is_client_error and isinstance(code, int) and (known := outcome_of_code(code, reason, _wait_s(answer))):
        return known
    return transport.outcome(
        answer.status_code,
        people=1,
        reason=reason,
        ref=str(said.get("sid") or ""),
        code=str(code or answer.status_code),
        wait_s=_wait_s(answer),
    )


def _said(answer: transport.Answer) -> Mapping[str, object]:
    try:
        said = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _wait_s(answer: transport.Answer) -> float | None:
    try:
        return max(1.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return None

"""SendGrid: e-mail, up to 1,000 people a request, one personalization a person.

Settings: `SENDGRID_API_KEY`; `SENDGRID_BASE_URL` where it is not https://api.sendgrid.com (EU subusers:
https://api.eu.sendgrid.com). The shared part of a batch is encoded once and a text a person is made ready before
the claim, so that between claim and first byte only bytes are joined. Our own links track: SendGrid's click, open and
subscription tracking are switched off in every message, else both would rewrite the same link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parseaddr

import orjson

from carillon.delivery.protocol import Capabilities, Outcome, Parcel, People, Shared, SharedEmail
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND, Clock, SystemClock
from connectors import transport
from connectors.sendgrid.envelope import Envelope, envelope

CAPABILITIES = Capabilities(
    channel=Channel.EMAIL,
    whole=True,
    max_people=1_000,
    max_bytes=29_000_000,  # 30 MB by the documents; beyond it an nginx page, not an answer of the API
    concurrency=8,
    substitutes=True,
    validity=False,
    feedback=True,
    spelling="json",
)

MAX_CATEGORIES, MAX_CATEGORY_LENGTH = 10, 255

RESERVED_HEADERS = frozenset(
    [
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-type",
        "content-transfer-encoding",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    ]
)

TRACKING_OFF = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
}


class SendGrid:
    """One SendGrid account."""

    capabilities = CAPABILITIES

    def __init__(self, mails: transport.Endpoint, name: str, clock: Clock) -> None:
        self.name, self._mails, self._clock = name, mails, clock

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Envelope:
        """The texts of the people and the shared rest; raises ValueError for what SendGrid never takes."""
        if not isinstance(message, SharedEmail):
            raise ValueError(f"{self.name} sends e-mail only")
        if len(people) > CAPABILITIES.max_people:
            raise ValueError(f"{len(people)} people in one request; SendGrid takes {CAPABILITIES.max_people}")
        _refuse_reserved([*message.headers, *people.headers])
        return envelope(people, _shared(message))

    async def hand_over(self, parcel: Parcel, rows: Sequence[int]) -> Sequence[Outcome]:
        """One request for all these rows, and its one outcome."""
        if not isinstance(parcel, Envelope):
            raise TypeError(f"{self.name} built no {type(parcel).__name__}")
        try:
            answer = await self._mails.post(parcel.body(rows))
        except Exception as error:  # whatever it is: the table says what it means, and the unnamed is unsure
            return (transport.outcome(error, people=len(rows), reason=transport.reason_of(error)),)
        return (self._outcome(answer, len(rows)),)

    def _outcome(self, answer: transport.Answer, people: int) -> Outcome:
        return transport.outcome(
            answer.status_code,
            people=people,
            reason=f"{answer.status_code} {_complaint(answer)}".strip(),
            ref=answer.headers.get("x-message-id", ""),
            code=str(answer.status_code),
            wait_s=_wait_s(answer.headers, self._clock),
            rest_s=_rest_s(answer.headers, self._clock),
        )

    async def close(self) -> None:
        await self._mails.close()


def make(settings: Mapping[str, str], *, name: str = "sendgrid", clock: Clock | None = None) -> SendGrid:
    """The connector of the account that the settings name; raises ValueError that says what is missing."""
    key = settings.get("SENDGRID_API_KEY", "")
    if not key:
        raise ValueError("SENDGRID_API_KEY is not set (SendGrid: Settings → API Keys; it needs the right Mail Send)")
    api = (settings.get("SENDGRID_BASE_URL") or "https://api.sendgrid.com").rstrip("/")
    mails = transport.Endpoint(
        f"{api}/v3/mail/send",
        connections=CAPABILITIES.concurrency,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    return SendGrid(mails, name, clock or SystemClock())


def _refuse_reserved(headers: Sequence[str]) -> None:
    if reserved := sorted({header for header in headers if header.lower() in RESERVED_HEADERS}):
        raise ValueError(f"SendGrid sets these headers itself: {', '.join(reserved)}")


def _shared(message: SharedEmail) -> dict[str, object]:
    if len(message.categories) > MAX_CATEGORIES or any(len(c) > MAX_CATEGORY_LENGTH for c in message.categories):
        raise ValueError(f"SendGrid takes {MAX_CATEGORIES} categories of {MAX_CATEGORY_LENGTH} characters")
    if not message.sender.address.isascii():
        raise ValueError(f"SendGrid takes ASCII sender addresses only: {message.sender.address!r}")
    body: dict[str, object] = {
        "from": _mailbox(message.sender.address, message.sender.name),
        "subject": message.subject,
        "content": _content(message),
        "tracking_settings": TRACKING_OFF,
    }
    if message.sender.reply_to:
        name, address = parseaddr(message.sender.reply_to)
        body["reply_to"] = _mailbox(address, name)
    if message.headers:
        body["headers"] = dict(message.headers)
    if message.categories:
        body["categories"] = list(dict.fromkeys(message.categories))
    return body


def _mailbox(address: str, name: str) -> dict[str, str]:
    return {"email": address, "name": name} if name else {"email": address}


def _content(message: SharedEmail) -> list[dict[str, str]]:
    # SendGrid wants plain before HTML, and refuses an empty part.
    parts = (("text/plain", message.text), ("text/html", message.html))
    content = [{"type": kind, "value": text} for kind, text in parts if text]
    if not content:
        raise ValueError("a mail needs a text or an HTML part")
    if not message.subject:
        raise ValueError("a mail needs a subject")
    return content


def _complaint(answer: transport.Answer) -> str:
    """What SendGrid complains of, each error with its field; an nginx page (413) says nothing worth keeping."""
    try:
        errors = orjson.loads(answer.content)["errors"]
        return "; ".join(
            f"{error.get('field')}: {error.get('message')}" if error.get("field") else str(error.get("message"))
            for error in errors
        )[:300]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return answer.reason_phrase


def _rest_s(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Until the allowance is renewed, where this request has used it up."""
    return _wait_s(headers, clock) if headers.get("x-ratelimit-remaining", "").strip() == "0" else None


def _wait_s(headers: Mapping[str, str], clock: Clock) -> float | None:
    # X-RateLimit-Reset is an instant in unix seconds; Retry-After is documented nowhere, obeyed where it comes.
    for name, since in (("retry-after", 0.0), ("x-ratelimit-reset", clock.now() / SECOND)):
        try:
            return max(1.0, float(headers[name]) - since)
        except (KeyError, ValueError):
            continue
    return None

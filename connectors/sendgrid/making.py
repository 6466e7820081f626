"""What SendGrid's requests are made of, without an account: it may be done in another process.

The shared part of a batch is encoded once, and a text a person. Our own links track: SendGrid's click, open and
subscription tracking are switched off in every message, else both would rewrite the same link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parseaddr

from carillon.delivery.protocol import Capabilities, People, Shared, SharedEmail
from carillon.kernel.channels import Channel
from connectors.sendgrid.envelope import Envelope, envelope
from connectors.sendgrid.sealed import Sealed, seal

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


@dataclass(frozen=True, slots=True)
class Making:
    """Makes envelopes for one account, which it does not know."""

    name: str
    capabilities = CAPABILITIES

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Envelope:
        """The texts of the people and the shared rest; raises ValueError for what SendGrid never takes."""
        if not isinstance(message, SharedEmail):
            raise ValueError(f"{self.name} sends e-mail only")
        if len(people) > CAPABILITIES.max_people:
            raise ValueError(f"{len(people)} people in one request; SendGrid takes {CAPABILITIES.max_people}")
        _refuse_reserved([*message.headers, *people.headers])
        return envelope(people, _shared(message))


@dataclass(frozen=True, slots=True)
class Sealing:
    """Makes what `Making` makes, ready to travel."""

    making: Making
    capabilities = CAPABILITIES

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Sealed:
        """The envelope, sealed; raises what `Making` raises."""
        return seal(self.making.build(message, people, valid_for_s))


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

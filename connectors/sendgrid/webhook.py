"""SendGrid's event webhook: whether it is SendGrid's, and what it says in our words.

Events come at least once, in any order, and a redelivery may bear another `sg_event_id`: the natural key is what the
event is about, never that id.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from carillon.feedback.model import Bounce, Feedback, FeedbackKind, WebhookSource
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND, Micros

SIGNATURE_HEADER = "x-twilio-email-event-webhook-signature"
TIMESTAMP_HEADER = "x-twilio-email-event-webhook-timestamp"

LAST_SECOND = 10_000_000_000
"""The year 2286: what lies beyond is not a second, and would not fit into the store."""

KIND: dict[str, FeedbackKind] = {
    "processed": FeedbackKind.PROCESSED,
    "deferred": FeedbackKind.DEFERRED,
    "delivered": FeedbackKind.DELIVERED,
    "dropped": FeedbackKind.DROPPED,
    "bounce": FeedbackKind.BOUNCED,
    "blocked": FeedbackKind.BOUNCED,
    "open": FeedbackKind.OPENED,
    "click": FeedbackKind.CLICKED,
    "spamreport": FeedbackKind.COMPLAINED,
    "unsubscribe": FeedbackKind.UNSUBSCRIBED,
    "group_unsubscribe": FeedbackKind.UNSUBSCRIBED,
    "group_resubscribe": FeedbackKind.RESUBSCRIBED,
}


def verify(raw: bytes, headers: Mapping[str, str], public_key: str) -> bool:
    """Whether SendGrid signed exactly these bytes; False for anything missing or unreadable.

    There is no window on the timestamp: SendGrid retries for a day, and it is not documented that a retry is signed
    anew. Repetition is harmless, because feedback is folded by its natural key.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    signature, timestamp = lower.get(SIGNATURE_HEADER, ""), lower.get(TIMESTAMP_HEADER, "")
    try:
        key = load_der_public_key(base64.b64decode(public_key, validate=True))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + raw, ec.ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, binascii.Error):
        return False
    return True


def parse(raw: bytes, received_at: Micros) -> list[Feedback]:
    """The reports of one post, each once; raises ValueError where the body is not a JSON array of objects."""
    events = orjson.loads(raw)
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ValueError("the event webhook posts a JSON array of objects")
    reports = (_feedback(event, received_at) for event in events)
    return list({report.natural_key: report for report in reports}.values())


def source(public_key: str, path: str = "sendgrid") -> WebhookSource:
    """The event webhook as the web serves it below `/webhooks/`; without a key it verifies nothing."""
    return WebhookSource(
        path=path,
        verify=lambda request: verify(request.body, request.headers, public_key),
        parse=lambda request, received_at: parse(request.body, received_at),
    )


def _feedback(event: dict[str, Any], received_at: Micros) -> Feedback:
    word = _text(event, "event")
    kind = KIND.get(word, FeedbackKind.UNKNOWN)
    cid, ref, address = _text(event, "cid"), _text(event, "sg_message_id"), _text(event, "email")
    url, agent = _text(event, "url"), _text(event, "useragent")
    return Feedback(
        kind=kind,
        at=_at(event, received_at),
        channel=Channel.EMAIL,
        provider="sendgrid",
        # An asynchronous bounce may come without custom arguments: then the message's id or the address says who.
        natural_key="\n".join((cid or ref or address, word, _text(event, "timestamp"), url, agent)),
        cid=cid or None,
        # X-Message-Id "." server part: the first is what the hand-over was answered with, one for its whole batch.
        provider_ref=ref.split(".")[0] or None,
        address=address or None,
        machine=event.get("sg_machine_open") in (True, "true"),
        bounce=_bounce(event) if kind is FeedbackKind.BOUNCED else None,
        code=_text(event, "status"),
        reason=_text(event, "reason") or _text(event, "response"),
        url=url,
        user_agent=agent,
        ip=_text(event, "ip"),
        raw=event,
    )


def _bounce(event: dict[str, Any]) -> Bounce:
    # "blocked": this mail was refused, the address lives. "bounce" is hard, unless the code itself says not now:
    # 4.x.x, or a full mailbox (RFC 3463: x.2.2).
    if event.get("type") == "blocked" or event.get("event") == "blocked":
        return "block"
    status = _text(event, "status")
    return "soft" if status.startswith("4") or status == "5.2.2" else "hard"


def _at(event: dict[str, Any], received_at: Micros) -> Micros:
    try:
        stamp = int(event["timestamp"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return received_at
    return stamp * SECOND if 0 < stamp < LAST_SECOND else received_at


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return "" if value is None else str(value)

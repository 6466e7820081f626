"""Twilio's callbacks: whether they are Twilio's, and what they say in our words.

A status callback repeats and comes in any order; its key is (message, status). An answer of the contact (STOP, START,
anything else) comes by the inbound webhook. Twilio has already replied to STOP, START and HELP: answer with 204.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from carillon.feedback.model import Feedback, FeedbackKind, WebhookSource
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from connectors.twilio.codes import BOUNCE, OPTED_OUT, STOPS

SIGNATURE_HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"
"""Names the algorithm where a SharedKey signs (HMAC-SHA256) instead of the account's token (HMAC-SHA1)."""

KIND: dict[str, FeedbackKind] = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), FeedbackKind.PROCESSED),
    "delivered": FeedbackKind.DELIVERED,
    "undelivered": FeedbackKind.FAILED,
    "failed": FeedbackKind.FAILED,
    "canceled": FeedbackKind.DROPPED,
    "read": FeedbackKind.OPENED,
}

ANSWER: dict[str, FeedbackKind] = {
    **dict.fromkeys(
        ("STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"), FeedbackKind.UNSUBSCRIBED
    ),
    **dict.fromkeys(("START", "YES", "UNSTOP"), FeedbackKind.RESUBSCRIBED),
}


def verify(raw: bytes, headers: Mapping[str, str], auth_token: str, url: str) -> bool:
    """Whether Twilio signed this form for this URL; False for anything missing or unreadable.

    `url` is the configured public base with the request's raw path and query: what a proxy says of itself
    (X-Forwarded-*) is never asked. No token verifies nothing.
    """
    from twilio.request_validator import RequestValidator, get_signature_algorithm

    lower = {name.lower(): value for name, value in headers.items()}
    signature, algorithm = lower.get(SIGNATURE_HEADER), get_signature_algorithm(lower.get(SETTINGS_HEADER))
    if not signature or not auth_token:
        return False
    try:
        form = _Form(_pairs(raw))
    except ValueError:
        return False
    return bool(RequestValidator(auth_token).validate(url, form, signature, algorithm))


def parse(raw: bytes, query: str, received_at: Micros) -> list[Feedback]:
    """The report of one callback; raises ValueError where the body is no form of Twilio's."""
    form = dict(_pairs(raw))
    ref = form.get("MessageSid") or form.get("SmsSid") or ""
    if not ref:
        raise ValueError("no MessageSid: not a callback of Twilio's Messages")
    if "MessageStatus" not in form:
        return [_answer(form, ref, received_at)]
    said = _status(form, ref, dict(parse_qsl(query)).get("cid"), received_at)
    return [said, *_stops(said)]


def source(auth_token: str, path: str = "twilio") -> WebhookSource:
    """Status callbacks and inbound answers as the web serves them below `/webhooks/`."""
    return WebhookSource(
        path=path,
        verify=lambda request: verify(request.body, request.headers, auth_token, request.url),
        parse=lambda request, received_at: parse(request.body, urlsplit(request.url).query, received_at),
        # Anything but an empty reply would be sent to the contact as an SMS.
        answer="<Response/>",
        answer_type="text/xml; charset=utf-8",
    )


def _status(form: dict[str, str], ref: str, cid: str | None, received_at: Micros) -> Feedback:
    status, code = form["MessageStatus"], form.get("ErrorCode", "")
    kind = KIND.get(status, FeedbackKind.UNKNOWN)
    return Feedback(
        kind=kind,
        # A callback bears no instant but RawDlrDoneDate, in minutes and without a zone.
        at=received_at,
        channel=Channel.SMS,
        provider="twilio",
        natural_key=f"{ref}\n{status}",
        cid=cid,
        provider_ref=ref,
        address=form.get("To"),
        bounce=BOUNCE.get(code, "soft") if kind is FeedbackKind.FAILED else None,
        halts=kind is FeedbackKind.FAILED and code in STOPS,
        code=code,
        reason=form.get("ErrorMessage", ""),
        raw=dict(form),
    )


def _stops(said: Feedback) -> list[Feedback]:
    """Whom Twilio does not write to because they once said STOP has said it to us: of that number, about every topic."""
    if said.kind is not FeedbackKind.FAILED or said.code not in map(str, OPTED_OUT):
        return []
    stop = replace(said, kind=FeedbackKind.UNSUBSCRIBED, natural_key=f"{said.provider_ref}\nopted out", bounce=None)
    return [replace(stop, cid=None, provider_ref=None)]


def _answer(form: dict[str, str], ref: str, received_at: Micros) -> Feedback:
    text = form.get("Body", "")
    # Advanced Opt-Out knows the words of the sender's own choice; without it the default keywords stand alone.
    word = form.get("OptOutType") or re.sub(r"\W", "", text)
    return Feedback(
        kind=ANSWER.get(word.upper(), FeedbackKind.REPLIED),
        at=received_at,
        channel=Channel.SMS,
        provider="twilio",
        natural_key=f"{ref}\nreceived",
        provider_ref=ref,
        address=form.get("From"),
        reason=text,
        raw=dict(form),
    )


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    # Empty and unknown parameters are signed as well.
    return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=200)


class _Form(dict[str, str]):
    """A form whose names may stand twice, as the SDK's validator asks for them."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def getlist(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

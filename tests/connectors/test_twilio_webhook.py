"""Twilio's callbacks: signatures over URL and form, and every status in our words."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from carillon.feedback.model import Bounce, FeedbackKind, WebhookRequest
from carillon.kernel.clock import SECOND
from carillon.sandbox.keys import Keys
from connectors.twilio.webhook import parse, source, verify

KEYS = Keys(b"webhook tests")
URL = "https://t.acme.example/webhooks/twilio?cid=c%2F1"
FORM = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+4915112345678", "Empty": "", "Body": "a b&ü+"}
NOW = 1_800_000_000 * SECOND


def test_the_form_is_verified_with_all_its_fields_for_the_public_url() -> None:
    """Empty fields are signed too; another query, another field or another host is not what was signed."""
    raw, headers = urlencode(FORM).encode(), {"X-Twilio-Signature": KEYS.sign_form(URL, FORM)}
    assert verify(raw, headers, KEYS.auth_token, URL)
    assert not verify(raw, headers, KEYS.auth_token, URL + "x")
    assert not verify(raw, headers, KEYS.auth_token, URL.replace("https", "http"))
    assert not verify(raw + b"&More=1", headers, KEYS.auth_token, URL)
    assert not verify(raw, headers, "another token", URL)


def test_a_fragment_is_no_part_of_what_is_signed() -> None:
    """We ask for retries in it."""
    assert KEYS.sign_form(URL + "#rc=3&rp=all", FORM) == KEYS.sign_form(URL, FORM)


def test_a_shared_key_signs_with_sha256() -> None:
    """The header names the algorithm; one that nobody knows verifies nothing."""
    from twilio.request_validator import RequestValidator

    raw, signature = urlencode(FORM).encode(), RequestValidator("shared").compute_signature(URL, FORM, "HMAC_SHA256")
    headers = {"X-Twilio-Signature": signature, "X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=HMAC_SHA256"}
    assert verify(raw, headers, "shared", URL)
    assert not verify(raw, {"X-Twilio-Signature": signature}, "shared", URL)
    assert not verify(raw, {**headers, "X-Twilio-Webhooks-Signature-Settings": "algorithm=MD5"}, "shared", URL)


@pytest.mark.parametrize("headers", [{}, {"X-Twilio-Signature": ""}, {"X-Twilio-Signature": "ü"}])
def test_rubbish_is_false_and_never_an_error(headers: dict[str, str]) -> None:
    """No signature, an empty token, a body that is no text."""
    assert not verify(urlencode(FORM).encode(), headers, KEYS.auth_token, URL)
    assert not verify(b"\xff=\xff", {"X-Twilio-Signature": "x"}, KEYS.auth_token, URL)
    assert not verify(urlencode(FORM).encode(), {"X-Twilio-Signature": KEYS.sign_form(URL, FORM)}, "", URL)


@pytest.mark.parametrize(
    ("status", "code", "kind", "bounce"),
    [
        ("queued", "", FeedbackKind.PROCESSED, None),
        ("sent", "", FeedbackKind.PROCESSED, None),
        ("delivered", "", FeedbackKind.DELIVERED, None),
        ("undelivered", "30003", FeedbackKind.FAILED, "soft"),
        ("undelivered", "30005", FeedbackKind.FAILED, "hard"),
        ("undelivered", "30007", FeedbackKind.FAILED, "block"),
        ("failed", "21614", FeedbackKind.FAILED, "hard"),
        ("failed", "99999", FeedbackKind.FAILED, "soft"),
        ("canceled", "", FeedbackKind.DROPPED, None),
        ("read", "", FeedbackKind.OPENED, None),
        ("teleported", "", FeedbackKind.UNKNOWN, None),
    ],
)
def test_every_status_has_its_word(status: str, code: str, kind: FeedbackKind, bounce: Bounce | None) -> None:
    """Only numbers that are dead are hard; the key is message and status, whatever the time."""
    raw = urlencode({"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": code, "To": "+49151"}).encode()
    [found] = parse(raw, "cid=c%2F1", NOW)
    assert (found.kind, found.bounce, found.code) == (kind, bounce, code)
    assert (found.cid, found.provider_ref, found.address, found.at) == ("c/1", "SM1", "+49151", NOW)
    assert found.natural_key == parse(raw, "cid=c%2F1", NOW + SECOND)[0].natural_key


@pytest.mark.parametrize(
    ("text", "opt_out", "kind"),
    [
        ("STOP", None, FeedbackKind.UNSUBSCRIBED),
        (" stop. ", None, FeedbackKind.UNSUBSCRIBED),
        ("Arrêt", "STOP", FeedbackKind.UNSUBSCRIBED),
        ("unstop", None, FeedbackKind.RESUBSCRIBED),
        ("Start", "START", FeedbackKind.RESUBSCRIBED),
        ("HELP", "HELP", FeedbackKind.REPLIED),
        ("please stop by the shop", None, FeedbackKind.REPLIED),
        ("", None, FeedbackKind.REPLIED),
    ],
)
def test_an_answer_is_stop_start_or_a_reply(text: str, opt_out: str | None, kind: FeedbackKind) -> None:
    """From whom is the address; Advanced Opt-Out says what the sender's own words mean."""
    form = {"MessageSid": "SM2", "SmsStatus": "received", "From": "+49151", "To": "+1500", "Body": text}
    [found] = parse(urlencode({**form, **({"OptOutType": opt_out} if opt_out else {})}).encode(), "", NOW)
    assert (found.kind, found.address, found.cid, found.reason) == (kind, "+49151", None, text)


@pytest.mark.parametrize("raw", [b"", b"x", b"\xff", b"Body=STOP&From=%2B49"])
def test_a_body_that_is_no_callback_is_refused(raw: bytes) -> None:
    """With ValueError, for a 400."""
    with pytest.raises(ValueError):
        parse(raw, "", NOW)


def test_the_web_is_given_both_halves_as_one_source() -> None:
    """And an answer that sends no SMS."""
    headers = {"x-twilio-signature": KEYS.sign_form(URL, FORM)}
    request = WebhookRequest(URL, headers, urlencode(FORM).encode())
    web = source(KEYS.auth_token)
    assert (web.path, web.answer, web.verify(request)) == ("twilio", "<Response/>", True)
    assert [f.cid for f in web.parse(request, NOW)] == ["c/1"]

"""Webhooks over a real server: signed by the vendors' own tools, bad ones refused whole, nothing acknowledged unstored."""

from __future__ import annotations

import base64
import json
import socket
import threading
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold
from carillon.kernel.clock import SECOND
from carillon.store import tables as t
from tests.feedback.ground import NOON, PERSON, RULES, SMS_NODE, cid
from tests.web.conftest import TWILIO_TOKEN, Web

SECOND_0 = NOON // SECOND


def sendgrid_body(*events: dict[str, Any]) -> bytes:
    """As SendGrid writes it: events parted by `,\\r\\n`, and a last line break."""
    return b"[" + b",\r\n".join(json.dumps(event).encode() for event in events) + b"]\r\n"


def signed(web: Web, body: bytes) -> dict[str, str]:
    signature = base64.b64encode(web.private_key.sign(b"1790000000" + body, ec.ECDSA(SHA256()))).decode()
    assert EventWebhook().verify_signature(  # the vendor's own check agrees that this is how they sign
        body.decode(), signature, "1790000000", web.private_key.public_key()
    )
    return {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": "1790000000",
    }


def stored(web: Web) -> int:
    return int(web.ground.rows(sa.select(sa.func.count().label("n")).select_from(t.event))[0]["n"])


def test_a_signed_post_is_stored_before_it_is_acknowledged(web: Web) -> None:
    """A click that stands before its delivery in the post is judged by their instants."""
    web.ground.contact("ada")
    enrolment = web.ground.sent("ada")
    body = sendgrid_body(
        {"event": "click", "timestamp": SECOND_0 + 90, "cid": cid(enrolment), "url": "https://x", "useragent": PERSON},
        {"event": "delivered", "timestamp": SECOND_0 + 10, "cid": cid(enrolment), "email": "ada@example.com"},
    )
    assert web.browser.post("/webhooks/sendgrid", content=body, headers=signed(web, body)).status_code == 200
    assert stored(web) == 2
    fold(web.ground.store, NOON)
    after = web.ground.response(enrolment)
    assert (after["delivered_at"], after["first_click"]) == (NOON + 10 * SECOND, NOON + 90 * SECOND)


def test_46_deliveries_of_one_event_under_other_ids_count_once(web: Web) -> None:
    """Redelivered at the same time from many connections, each under an event id of its own."""
    web.ground.contact("ada")
    enrolment = web.ground.sent("ada")
    bodies = [
        sendgrid_body({"event": "open", "timestamp": SECOND_0, "cid": cid(enrolment), "useragent": PERSON,
                       "sg_event_id": f"id{n}"})
        for n in range(46)
    ]  # fmt: skip

    def post(body: bytes) -> None:
        answers.append(httpx.post(f"{web.url}/webhooks/sendgrid", content=body, headers=signed(web, body)).status_code)

    answers: list[int] = []
    threads = [threading.Thread(target=post, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 46
    assert stored(web) == 1


def test_a_bad_signature_changes_nothing(web: Web) -> None:
    """One byte more than was signed: 403. None at all: 403."""
    web.ground.contact("ada")
    body = sendgrid_body({"event": "spamreport", "timestamp": SECOND_0, "cid": cid(web.ground.sent("ada"))})
    assert web.browser.post("/webhooks/sendgrid", content=body + b" ", headers=signed(web, body)).status_code == 403
    assert web.browser.post("/webhooks/sendgrid", content=body).status_code == 403
    assert stored(web) == 0


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[", b"\xff\xfe", b"[" * 100_000])
def test_a_signed_body_that_is_no_webhook_is_refused(web: Web, body: bytes) -> None:
    """400, and the server lives."""
    signature = base64.b64encode(web.private_key.sign(b"1790000000" + body, ec.ECDSA(SHA256()))).decode()
    headers = {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": "1790000000",
    }
    assert web.browser.post("/webhooks/sendgrid", content=body, headers=headers).status_code == 400
    assert stored(web) == 0


def test_a_body_of_more_than_10_mb_is_refused_unread(web: Web) -> None:
    """The announced size suffices: the answer comes before the body is sent."""
    host, port = web.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /webhooks/sendgrid HTTP/1.1\r\nHost: x\r\nContent-Length: 10485761\r\n\r\n" + b"x" * 1000
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    assert stored(web) == 0


def test_an_unannounced_flood_is_cut_off(web: Web) -> None:
    """Chunks without a length are counted, and the sender is stopped behind the limit."""
    sent = 0

    def flood() -> Any:
        nonlocal sent
        for _ in range(64):
            sent += 1024 * 1024
            yield b"x" * (1024 * 1024)

    try:
        status = web.browser.post("/webhooks/sendgrid", content=flood()).status_code
    except httpx.HTTPError:  # the server has hung up while we were still talking
        status = 413
    assert status == 413
    assert stored(web) == 0
    assert web.browser.get("/health").status_code == 200


def twilio_headers(path: str, form: dict[str, str]) -> dict[str, str]:
    """Signed for the public address, as Twilio does: it knows nothing of loopback and ports."""
    signature = RequestValidator(TWILIO_TOKEN).compute_signature(f"{RULES.public_url}{path}", form)
    return {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}


def test_twilios_status_finds_its_send_by_our_id(web: Web) -> None:
    """The cid in the callback's query is signed with it."""
    web.ground.contact("ada", phone_key="+491701")
    enrolment = web.ground.sent("ada", SMS_NODE)
    path = f"/webhooks/twilio/status?cid={cid(enrolment, SMS_NODE)}"
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+491701", "ErrorMessage": ""}
    answer = web.browser.post(path, content=urlencode(form).encode(), headers=twilio_headers(path, form))
    assert answer.status_code == 200
    fold(web.ground.store, NOON)
    assert web.ground.response(enrolment)["delivered_at"] == web.clock.now()


def test_stop_is_obeyed_and_answered_with_silence(web: Web) -> None:
    """Twilio has replied already: the answer is an empty document, and all SMS are withdrawn."""
    web.ground.contact("ada", phone_key="+491701")
    form = {"MessageSid": "SM2", "From": "+491701", "To": "+49", "Body": "Stop."}
    path = "/webhooks/twilio/inbound"
    answer = web.browser.post(path, content=urlencode(form).encode(), headers=twilio_headers(path, form))
    assert (answer.text, answer.headers["content-type"]) == ("<Response/>", "text/xml")
    fold(web.ground.store, NOON)
    assert apply_effects(web.ground.store, NOON, RULES).consents == 2


def test_a_webhook_signed_for_another_address_is_refused(web: Web) -> None:
    """What the request says of its host is never believed."""
    form = {"MessageSid": "SM2", "From": "+491701", "Body": "STOP"}
    headers = twilio_headers("/webhooks/twilio/status", form) | {"x-forwarded-host": "t.acme.example"}
    body = urlencode(form).encode()
    assert web.browser.post("/webhooks/twilio/inbound", content=body, headers=headers).status_code == 403
    assert stored(web) == 0

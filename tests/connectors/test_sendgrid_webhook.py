"""SendGrid's event webhook: signatures on raw bytes, and every event in our words."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.feedback.model import FeedbackKind, WebhookRequest
from carillon.kernel.clock import SECOND
from carillon.sandbox.keys import Keys
from connectors.sendgrid.webhook import parse, source, verify

KEYS = Keys(b"webhook tests")
RAW = b'[{"email":"ada@example.com","event":"open","timestamp":1700000000,"cid":"c1"},\r\n{"event":"click"}]\r\n'
NOW = 1_800_000_000 * SECOND


def signed(raw: bytes, keys: Keys = KEYS, timestamp: str = "1700000000") -> dict[str, str]:
    return {
        "X-Twilio-Email-Event-Webhook-Signature": keys.sign_events(timestamp, raw),
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    }


def one(**event: Any) -> Any:
    [found] = parse(orjson.dumps([{"cid": "c1", "timestamp": 1_700_000_000, **event}]), NOW)
    return found


def test_exactly_the_signed_bytes_are_verified() -> None:
    """With SendGrid's spacing; the same JSON written again is not what was signed."""
    assert verify(RAW, signed(RAW), KEYS.public_key)
    assert not verify(orjson.dumps(orjson.loads(RAW)), signed(RAW), KEYS.public_key)
    assert not verify(RAW, {**signed(RAW), "X-Twilio-Email-Event-Webhook-Timestamp": "1700000001"}, KEYS.public_key)
    assert not verify(RAW, signed(RAW, Keys(b"another")), KEYS.public_key)


def test_the_vendors_sdk_verifies_the_same_signature() -> None:
    """The sandbox signs as SendGrid does."""
    from sendgrid.helpers.eventwebhook import EventWebhook

    headers = signed(RAW)
    theirs = EventWebhook(KEYS.public_key)
    assert theirs.verify_signature(RAW.decode(), *headers.values())
    assert not theirs.verify_signature(RAW.decode() + " ", *headers.values())


def test_rubbish_is_false_and_never_an_error() -> None:
    """No header, no key, bad base64, bad DER, another kind of key."""
    other = ed25519.Ed25519PrivateKey.from_private_bytes(b"1" * 32).public_key()
    ed = base64.b64encode(other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    name = "X-Twilio-Email-Event-Webhook-Signature"
    assert [verify(RAW, {}, KEYS.public_key), *[verify(RAW, signed(RAW), key) for key in ("", "!", "AAAA", ed)]] == [
        False
    ] * 5
    assert [verify(RAW, {**signed(RAW), name: bad}, KEYS.public_key) for bad in ("", "*", "AAAA", "ü")] == [False] * 4


@settings(max_examples=50)
@given(st.binary(max_size=60), st.integers(0, 255))
def test_one_changed_byte_is_found(raw: bytes, at: int) -> None:
    """Whatever was signed, also what is no text."""
    headers = signed(raw)
    changed = bytearray(raw + b"x")
    changed[at % len(changed)] ^= 1
    assert verify(raw, headers, KEYS.public_key)
    assert not verify(bytes(changed), headers, KEYS.public_key)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("processed", FeedbackKind.PROCESSED),
        ("dropped", FeedbackKind.DROPPED),
        ("delivered", FeedbackKind.DELIVERED),
        ("deferred", FeedbackKind.DEFERRED),
        ("bounce", FeedbackKind.BOUNCED),
        ("open", FeedbackKind.OPENED),
        ("click", FeedbackKind.CLICKED),
        ("spamreport", FeedbackKind.COMPLAINED),
        ("unsubscribe", FeedbackKind.UNSUBSCRIBED),
        ("group_unsubscribe", FeedbackKind.UNSUBSCRIBED),
        ("group_resubscribe", FeedbackKind.RESUBSCRIBED),
        ("account_status_change", FeedbackKind.UNKNOWN),
        ("tomorrows_event", FeedbackKind.UNKNOWN),
    ],
)
def test_every_event_has_its_word(word: str, kind: FeedbackKind) -> None:
    """What SendGrid invents later is kept as unknown, with all it said."""
    found = one(event=word, future=[1])
    assert (found.kind, found.raw["event"], found.raw["future"], found.at) == (kind, word, [1], 1_700_000_000 * SECOND)


@pytest.mark.parametrize(
    ("kind", "status", "bounce"),
    [
        ("bounce", "5.1.1", "hard"),
        ("bounce", "", "hard"),
        ("bounce", "5.2.2", "soft"),
        ("bounce", "4.4.1", "soft"),
        ("blocked", "5.7.1", "block"),
    ],
)
def test_only_a_dead_address_is_a_hard_bounce(kind: str, status: str, bounce: str) -> None:
    """A blocked mail and a full mailbox must never suppress an address."""
    found = one(event="bounce", type=kind, status=status, reason="550 said so")
    assert (found.bounce, found.code, found.reason) == (bounce, status, "550 said so")


def test_a_click_keeps_where_with_what_and_by_whom() -> None:
    """A machine's open is flagged as SendGrid flags it."""
    click = one(
        event="click", url="https://x/?a=1&b=2", useragent="Mozilla/5.0", ip="198.18.0.1", email="ada@example.com"
    )
    assert (click.url, click.user_agent, click.ip, click.address, click.machine) == (
        "https://x/?a=1&b=2", "Mozilla/5.0", "198.18.0.1", "ada@example.com", False,
    )  # fmt: skip
    assert one(event="open", sg_machine_open=True).machine


def test_a_bounce_without_our_id_is_known_by_message_and_address() -> None:
    """Asynchronous bounces come without custom arguments; the first part of the id is what the 202 said."""
    raw = orjson.dumps(
        [{"event": "bounce", "email": "ada@example.com", "sg_message_id": "m22.recvd-7", "timestamp": 5}]
    )
    [found] = parse(raw, NOW)
    assert (found.cid, found.provider_ref, found.address) == (None, "m22", "ada@example.com")


def test_a_redelivery_with_another_event_id_is_the_same_report() -> None:
    """The id is not what makes an event; two opens at different seconds are two."""
    events = [
        {"cid": "c1", "event": "open", "timestamp": at, "useragent": "x", "sg_event_id": str(i)}
        for i, at in enumerate([7, 7, 8])
    ]
    assert [found.at // SECOND for found in parse(orjson.dumps(events), NOW)] == [7, 8]


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b"null", b"\xff", b'[{"event": "open"}'])
def test_a_body_that_is_no_array_of_events_is_refused(raw: bytes) -> None:
    """With ValueError, for a 400."""
    with pytest.raises(ValueError):
        parse(raw, NOW)


@pytest.mark.parametrize("stamp", [None, "soon", -1, 1e300, [], 10**18])
def test_an_impossible_time_is_the_time_of_arrival(stamp: object) -> None:
    """Nothing that does not fit into the store is believed."""
    assert one(event="open", timestamp=stamp).at == NOW


def test_the_web_is_given_both_halves_as_one_source() -> None:
    """Under the path that the sandbox posts to."""
    lower = {name.lower(): value for name, value in signed(RAW).items()}
    request = WebhookRequest("https://t.acme.example/webhooks/sendgrid", lower, RAW)
    web = source(KEYS.public_key)
    assert (web.path, web.verify(request), [f.kind for f in web.parse(request, NOW)]) == (
        "sendgrid", True, [FeedbackKind.OPENED, FeedbackKind.CLICKED],
    )  # fmt: skip

"""The sandbox's Twilio: what `POST …/Messages.json` takes, how it refuses, and a message as it is shown."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros, from_micros
from carillon.sandbox.store import Arrival, Store

MAX_TEXT = 1_600

WORDS: dict[int, str] = {
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    21211: "The 'To' number {to} is not a valid phone number.",
    21212: "The 'From' number {sender} is not a valid phone number, shortcode, or alphanumeric sender ID.",
    21408: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {to}",
    21602: "Message body is required.",
    21603: "A 'From' or 'MessagingServiceSid' parameter is required.",
    21604: "A 'To' phone number is required.",
    21606: "The 'From' phone number {sender} is not a valid, SMS-capable inbound phone number for your account.",
    21609: "The 'StatusCallback' URL is not a valid URL.",
    21610: "Attempt to send to unsubscribed recipient",
    21611: "This 'From' number {sender} has exceeded the maximum number of queued messages",
    21612: "The message cannot be sent with the current combination of 'To' ({to}) and 'From' ({sender}) parameters.",
    21614: "'To' number is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit.",
    21703: "The Messaging Service does not have a phone number available to send a message",
}

MAGIC_TO = {
    # Twilio's own numbers for test credentials.
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}


def complaint(code: int, status: int = 400, **words: str) -> dict[str, Any]:
    """An error in Twilio's shape."""
    said = WORDS[code].format(**{"to": "", "sender": "", **words})
    return {"code": code, "message": said, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}


def fault_of(form: dict[str, str]) -> int | None:
    """The code with which Twilio would refuse this message; None where it takes it."""
    to, sender, text = form.get("To", ""), form.get("From", ""), form.get("Body", "")
    checks = (
        (21604, not to),
        (MAGIC_TO.get(to), to in MAGIC_TO),
        (21211, not re.fullmatch(r"\+[1-9]\d{6,14}", to)),
        (21603, not sender and not form.get("MessagingServiceSid")),
        (MAGIC_FROM.get(sender), sender in MAGIC_FROM),
        (21703, bool(form.get("MessagingServiceSid")) and not form["MessagingServiceSid"].startswith("MG")),
        (21602, not text),
        (21617, len(text) > MAX_TEXT),
        (21609, not re.match(r"https?://[^/_]+(/|$)", form.get("StatusCallback") or "https://x/")),
    )
    return next((code for code, holds in checks if holds), None)


def form_of(body: bytes) -> dict[str, str]:
    """A posted form; what cannot be read is no field."""
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=100))


def keep(store: Store, form: dict[str, str], body: bytes, at: Micros) -> str:
    """Store an accepted SMS and return its SID."""
    sid = _new_sid(store, body, at)
    sender = form.get("From") or form["MessagingServiceSid"]
    cid = dict(parse_qsl(form.get("StatusCallback", "").partition("?")[2].partition("#")[0])).get("cid", "")
    arrival = Arrival(at, Channel.SMS, sid, body, sender, form["Body"], form["Body"].lower(), "")
    store.keep(arrival, [(form["To"], cid)], "queued")
    return sid


def _new_sid(store: Store, body: bytes, at: Micros) -> str:
    for occurrence in range(1_000_000):
        sid = "SM" + hashlib.blake2b(body + f"\n{at}\n{occurrence}".encode(), digest_size=16).hexdigest()
        if not store.has(sid):
            return sid
    raise RuntimeError("the same SMS came a million times at the same instant")


def segments(text: str) -> int:
    """Billed parts, near enough for a sandbox: what is not Latin-1 turns the whole text into 70 units a part."""
    units = len(text.encode("utf-16-le")) // 2
    alone, each = (160, 153) if all(ord(c) < 256 for c in text) else (70, 67)
    return 1 if units <= alone else -(-units // each)


def message_json(row: sqlite3.Row, account_sid: str) -> bytes:
    """A stored SMS as Twilio shows it."""
    form = form_of(row["body"])
    service, when = form.get("MessagingServiceSid"), format_datetime(from_micros(row["at"]))
    path = f"/2010-04-01/Accounts/{account_sid}/Messages/{row['ref']}"
    return orjson.dumps({
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "body": form["Body"],
        "date_created": when,
        "date_sent": None,
        "date_updated": when,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": "0" if service and row["status"] == "queued" else str(segments(form["Body"])),
        "price": None,
        "price_unit": "USD",
        "sid": row["ref"],
        "status": "accepted" if service and row["status"] == "queued" else row["status"],
        "subresource_uris": {"media": f"{path}/Media.json"},
        "to": form["To"],
        "uri": f"{path}.json",
    })  # fmt: skip

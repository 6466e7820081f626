"""What providers post: SendGrid's signed event batches, Twilio's signed callbacks, a shop's orders."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import orjson

from carillon.kernel.clock import SECOND, from_micros
from carillon.sandbox.behaviour import Behaviour
from carillon.sandbox.keys import Keys
from carillon.sandbox.twilio import form_of

EVENTS_PATH, INBOUND_PATH, TRACK_PATH = "/webhooks/sendgrid", "/webhooks/twilio/inbound", "/v1/track"

AT_HEADER = "X-Sandbox-At"
"""Tells Carillon's web when, in the sandbox's time, a link was fetched."""

PERSON_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
)
PROXY_AGENT = "Mozilla/5.0"
"""Apple's mail proxy says no more of itself."""
SCANNER_AGENT = "Mozilla/5.0 (compatible; BarracudaCentral; +https://www.barracudacentral.org)"

EVENT: dict[str, dict[str, Any]] = {
    "processed": {"event": "processed"},
    "delivered": {"event": "delivered", "response": "250 2.0.0 OK"},
    "bounce": {
        "event": "bounce",
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist",
        "bounce_classification": "Invalid Address",
    },
    "soft_bounce": {
        "event": "bounce",
        "type": "bounce",
        "status": "5.2.2",
        "reason": "552 5.2.2 The email account that you tried to reach is over quota",
        "bounce_classification": "Mailbox Unavailable",
    },
    "blocked": {
        "event": "bounce",
        "type": "blocked",
        "status": "5.7.1",
        "reason": "550 5.7.1 This message has been blocked",
        "bounce_classification": "Reputation",
    },
    "open": {"event": "open", "sg_content_type": "html", "sg_machine_open": False},
    "machine_open": {"event": "open", "sg_content_type": "html", "sg_machine_open": True},
    "click": {"event": "click", "url_offset": {"index": 0, "type": "html"}},
    "machine_click": {"event": "click", "url_offset": {"index": 0, "type": "html"}},
    "unsubscribe": {"event": "unsubscribe"},
    "spamreport": {"event": "spamreport"},
}
AGENT = {"machine_open": PROXY_AGENT, "machine_click": SCANNER_AGENT}


@dataclass(frozen=True, slots=True)
class Post:
    """One call to Carillon's web."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    may_miss: bool = False
    """A fetched link: what it answers is the reader's affair, and nobody repeats it."""


def events_post(rows: list[sqlite3.Row], keys: Keys, base: str) -> Post:
    """The event webhook's post for these reactions, signed."""
    events = [orjson.dumps(_event(row)) for row in rows]
    # SendGrid's own spacing: who verifies a re-serialised body fails here as there.
    raw = b"[" + b",\r\n".join(events) + b"]\r\n"
    timestamp = str(rows[-1]["at"] // SECOND)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "SendGrid Event API",
        "X-Twilio-Email-Event-Webhook-Signature": keys.sign_events(timestamp, raw),
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    }
    return Post("POST", base + EVENTS_PATH, headers, raw)


def _event(row: sqlite3.Row) -> dict[str, Any]:
    kind = row["kind"]
    event: dict[str, Any] = {
        "email": row["address"],
        "timestamp": row["at"] // SECOND,
        "smtp-id": f"<{row['ref']}@sandbox>",
        **EVENT[kind],
        "sg_event_id": _digest(row, "event"),
        "sg_message_id": f"{row['ref']}.sandbox-{row['n']}",
    }
    if row["cid"]:
        event["cid"] = row["cid"]
    if categories := [category for category in row["categories"].split("\n") if category]:
        event["category"] = categories
    if event["event"] in ("open", "click"):
        event |= {"useragent": agent_of(row), "ip": _ip(row)}
    if event["event"] == "click":
        event["url"] = row["detail"]
    return event


def agent_of(row: sqlite3.Row) -> str:
    """The program with which this person, or machine, reads."""
    return AGENT.get(row["kind"]) or PERSON_AGENTS[_number(row["address"]) % len(PERSON_AGENTS)]


def callback_post(row: sqlite3.Row, keys: Keys, base: str) -> Post:
    """Twilio's status callback, or the person's STOP, signed for the public address that the message named."""
    sms = form_of(row["body"])
    named = sms.get("StatusCallback", "").partition("#")[0]
    form = {"AccountSid": keys.account_sid, "ApiVersion": "2010-04-01"}
    if row["kind"] == "stop":
        signed = _inbound(named or base)
        sid = "SM" + hashlib.blake2b(f"stop {row['ref']}".encode(), digest_size=16).hexdigest()
        to = sms.get("From") or "+15005550006"
        form |= {"MessageSid": sid, "SmsSid": sid, "SmsStatus": "received", "From": sms["To"], "To": to, "Body": "STOP"}
        form |= {"NumMedia": "0", "NumSegments": "1", "OptOutType": "STOP"}
    else:
        signed = named
        form |= {"MessageSid": row["ref"], "SmsSid": row["ref"], "MessageStatus": row["kind"], "SmsStatus": row["kind"]}
        form |= {"To": sms["To"], "From": sms.get("From") or "+15005550006"}
        form |= {"ErrorCode": row["detail"]} if row["detail"] else {}
    if sms.get("MessagingServiceSid"):
        form["MessagingServiceSid"] = sms["MessagingServiceSid"]
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": keys.sign_form(signed, form),
        AT_HEADER: from_micros(row["at"]).isoformat(),
    }
    return Post("POST", at_base(signed, base), headers, urlencode(form).encode())


def order_post(row: sqlite3.Row, keys: Keys, behaviour: Behaviour, base: str) -> Post:
    """The shop's order event in Segment's shape."""
    contact = "email" if row["channel"] == "email" else "phone"
    said: dict[str, Any] = {
        "type": "track",
        "messageId": "sandbox-" + _digest(row, "order"),
        "anonymousId": "sandbox-" + _digest(row, "person"),
        "event": behaviour.orders.event,
        "timestamp": from_micros(row["at"]).isoformat(),
        "context": {"traits": {contact: row["address"]}},
        "properties": {
            "order_id": "S" + _digest(row, "order")[:10],
            "total": round(int(row["detail"]) / 100, 2),
        },
    }
    if behaviour.orders.currency:
        said["properties"]["currency"] = behaviour.orders.currency
    if row["address"] in behaviour.people:
        said["userId"] = behaviour.people[row["address"]]
    basic = base64.b64encode(f"{keys.write_key}:".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
    return Post("POST", base + TRACK_PATH, headers, orjson.dumps(said))


def fetch_post(row: sqlite3.Row, base: str) -> Post:
    """A person, or machine, fetches one of our own links."""
    headers = {"User-Agent": agent_of(row), AT_HEADER: from_micros(row["at"]).isoformat()}
    return Post("GET", at_base(row["detail"], base), headers, may_miss=True)


def unsubscribe_post(row: sqlite3.Row, base: str) -> Post:
    """One click, as a mailbox provider posts it (RFC 8058 §3.2)."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        AT_HEADER: from_micros(row["at"]).isoformat(),
    }
    return Post("POST", at_base(row["detail"], base), headers, b"List-Unsubscribe=One-Click")


def at_base(url: str, base: str) -> str:
    """The public URL as it is reached from here: only its path and query are kept, so no other host is ever called."""
    parts, here = urlsplit(url), urlsplit(base)
    return urlunsplit((here.scheme, here.netloc, here.path.rstrip("/") + parts.path, parts.query, ""))


def _inbound(url: str) -> str:
    """Where answers of people go: at the host of the status callback, whose number's webhook is set up once."""
    return urlunsplit(urlsplit(url)._replace(path=INBOUND_PATH, query="", fragment=""))


def _digest(row: sqlite3.Row, what: str) -> str:
    about = f"{what}|{row['cid'] or row['ref']}|{row['address']}|{row['kind']}|{row['at']}"
    return base64.b32encode(hashlib.blake2b(about.encode(), digest_size=15).digest()).decode().lower()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def _ip(row: sqlite3.Row) -> str:
    # 198.18.0.0/15 is set aside for tests (RFC 2544).
    number = _number("ip" + row["address"])
    return f"198.18.{number % 256}.{number // 256 % 256}"

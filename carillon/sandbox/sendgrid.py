"""The sandbox's SendGrid: what `POST /v3/mail/send` takes, and how it refuses."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import orjson

from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from carillon.sandbox.store import Arrival, Store

MAX_BODY = 30_000_000
MAX_PEOPLE = 1_000
LIMITS = (("custom_args", 10_000), ("substitutions", 10_000), ("headers", 1_000_000))
"""Most bytes of texts for one person."""
REFUSED_HEADERS = frozenset(
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

NGINX_413 = (
    b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    b"<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)

_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;.]+")

Complaint = dict[str, str | None]


def complaint(message: str, field: str | None = None) -> Complaint:
    """One error in SendGrid's shape."""
    return {"message": message, "field": field, "help": None}


def complaints(mail: Any) -> list[Complaint]:
    """Everything that SendGrid would refuse of this body; empty where it takes it."""
    if not isinstance(mail, dict):
        return [complaint("Bad Request")]
    return [*_of_people(mail.get("personalizations")), *_of_sender(mail), *_of_content(mail), *_of_categories(mail)]


def _of_people(people: Any) -> list[Complaint]:
    field = "personalizations"
    if not isinstance(people, list) or not people:
        return [complaint("The personalizations field is required and must have at least one personalization.", field)]
    if len(people) > MAX_PEOPLE:
        return [complaint("The number of personalizations must not exceed 1000.", field)]
    found: list[Complaint] = []
    recipients = 0
    for n, person in enumerate(people):
        to = person.get("to") if isinstance(person, dict) else None
        if not isinstance(to, list) or not to:
            found.append(
                complaint("The to array is required for all personalization objects.", f"personalizations.{n}.to")
            )
            continue
        recipients += len(to) + len(person.get("cc", ())) + len(person.get("bcc", ()))
        if faults := _of_person(person, to, f"personalizations.{n}"):
            found += faults
    if recipients > MAX_PEOPLE:
        found.append(complaint("The total number of recipients must not exceed 1000.", field))
    return found


def _of_person(person: dict[str, Any], to: list[Any], field: str) -> list[Complaint]:
    found = []
    for i, box in enumerate(to):
        address = box.get("email") if isinstance(box, dict) else None
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            found.append(complaint("Does not contain a valid address.", f"{field}.to.{i}.email"))
        elif "name" in box and set(",;") & set(box["name"]):
            found.append(complaint("The name must not contain , or ;.", f"{field}.to.{i}.name"))
    for name, limit in LIMITS:
        if (texts := person.get(name)) is None:
            continue
        # A number here is answered with two words and no field; nobody has found out why.
        if type(texts) is not dict or not set(map(type, texts.values())) <= {str}:
            found.append(complaint("Bad Request"))
        elif sum(map(len, texts.values())) > limit:
            found.append(complaint(f"The {name} must be less than {limit} bytes.", f"{field}.{name}"))
    if "headers" in person and not REFUSED_HEADERS.isdisjoint(map(str.lower, person["headers"])):
        found.append(complaint("A reserved header was used.", f"{field}.headers"))
    return found


def _of_sender(mail: dict[str, Any]) -> list[Complaint]:
    sender = mail.get("from")
    address = sender.get("email") if isinstance(sender, dict) else None
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address) or not address.isascii():
        return [complaint("The from object must be provided for every email send.", "from.email")]
    return []


def _of_content(mail: dict[str, Any]) -> list[Complaint]:
    if mail.get("template_id"):
        return []
    found = []
    if not isinstance(mail.get("subject"), str) or not mail["subject"]:
        found.append(complaint("The subject is required.", "subject"))
    content = mail.get("content")
    if not isinstance(content, list) or not content:
        return [
            *found,
            complaint("Unless a valid template_id is provided, the content parameter is required.", "content"),
        ]
    kinds = [part.get("type") if isinstance(part, dict) else None for part in content]
    if "text/plain" in kinds[1:]:
        found.append(complaint("If present, text/plain must be the first part of the content.", "content"))
    for n, part in enumerate(content):
        if kinds[n] is None or not isinstance(part.get("value"), str) or not part["value"]:
            found.append(
                complaint("The content value must be a string at least one character in length.", f"content.{n}")
            )
    return found


def _of_categories(mail: dict[str, Any]) -> list[Complaint]:
    categories = mail.get("categories", [])
    if not isinstance(categories, list) or len(categories) > 10 or not all(type(c) is str for c in categories):
        return [complaint("You may only include up to 10 categories, as strings.", "categories")]
    if len(set(categories)) < len(categories) or any(len(c) > 255 for c in categories):
        return [complaint("Categories must be unique and at most 255 characters.", "categories")]
    return []


def keep(store: Store, mail: dict[str, Any], body: bytes, at: Micros) -> str:
    """Store an accepted mail and return its X-Message-Id."""
    ref = new_ref(store, body, at)
    content = mail.get("content") or []
    words = "\n".join([mail.get("subject") or "", *[part["value"] for part in content[:1]]])
    categories = mail.get("categories") or []
    arrival = Arrival(
        at,
        Channel.EMAIL,
        ref,
        body,
        mail["from"]["email"],
        mail.get("subject") or "",
        words.lower(),
        "\n" + "\n".join(categories) + "\n" if categories else "",
    )
    store.keep(arrival, [_person(person, mail) for person in mail["personalizations"]], "processed")
    return ref


def new_ref(store: Store, body: bytes, at: Micros) -> str:
    """22 characters from what arrived and when: the same run yields the same ids, whatever arrived first."""
    for occurrence in range(1_000_000):
        digest = hashlib.blake2b(body + f"\n{at}\n{occurrence}".encode(), digest_size=16).digest()
        ref = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if not store.has(ref):
            return ref
    raise RuntimeError("the same mail came a million times at the same instant")


def _person(person: dict[str, Any], mail: dict[str, Any]) -> tuple[str, str]:
    args = person.get("custom_args") or mail.get("custom_args") or {}
    return person["to"][0]["email"], args.get("cid", "")


def mail_of(body: bytes) -> dict[str, Any]:
    """A stored body, read again."""
    mail: dict[str, Any] = orjson.loads(body)
    return mail

"""A stored mail as one person sees it: tags filled, headers joined, links found."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HREF = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_IMAGE = re.compile(r"""<img\b[^>]*?\bsrc\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"']+")

NOT_CLICKED = ("/u/", "/p/", "mailto:", "tel:", "#")
"""Ways out and ways that are none: nobody clicks them by chance."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One person's mail."""

    to: str
    sender: str
    subject: str
    html: str
    text: str
    headers: Mapping[str, str]


def letter(mail: Mapping[str, Any], n: int) -> Letter:
    """What the n-th person of a request finds in the inbox."""
    person = mail["personalizations"][n]
    values = person.get("substitutions") or {}
    parts = {part["type"]: part["value"] for part in mail.get("content") or ()}
    sender = mail["from"]
    return Letter(
        to=person["to"][0]["email"],
        sender=f"{sender['name']} <{sender['email']}>" if sender.get("name") else sender["email"],
        subject=filled(person.get("subject") or mail.get("subject") or "", values),
        html=filled(parts.get("text/html", ""), values),
        text=filled(parts.get("text/plain", ""), values),
        headers=headers_of(mail, n),
    )


def headers_of(mail: Mapping[str, Any], n: int) -> dict[str, str]:
    """The n-th person's own headers over those of all, filled."""
    person = mail["personalizations"][n]
    values = person.get("substitutions") or {}
    joined = {**(mail.get("headers") or {}), **(person.get("headers") or {})}
    return {name: filled(value, values) for name, value in joined.items()}


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its tags replaced, longer tags first so that none is taken for the beginning of another."""
    for tag in sorted(values, key=len, reverse=True):
        text = text.replace(tag, values[tag])
    return text


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses in a shared HTML or SMS, their tags not yet filled."""

    clickable: tuple[str, ...]
    pixel: str


def links_in(markup: str) -> Links:
    """What can be clicked in an HTML, and its pixel (`/o/…`)."""
    images = _found(_IMAGE, markup)
    return Links(
        tuple(
            url for url in dict.fromkeys(_found(_HREF, markup)) if url and not any(way in url for way in NOT_CLICKED)
        ),
        next((url for url in images if "/o/" in url), ""),
    )


def links_in_text(text: str) -> tuple[str, ...]:
    """What can be clicked in an SMS."""
    urls = (url.rstrip(".,;:!?)") for url in _URL.findall(text))
    return tuple(url for url in urls if not any(way in url for way in NOT_CLICKED))


def unsubscribe_url(headers: Mapping[str, str]) -> str:
    """Where one click unsubscribes (RFC 8058: an https URI, and the header that promises one click); else ""."""
    lower = {name.lower(): value for name, value in headers.items()}
    if "list-unsubscribe-post" not in lower:
        return ""
    found = re.search(r"<(https?://[^>]+)>", lower.get("list-unsubscribe", ""))
    return found[1] if found else ""


def _found(pattern: re.Pattern[str], markup: str) -> list[str]:
    return [html.unescape(double or single) for double, single in pattern.findall(markup)]

"""The bare wire: ASGI requests read with a limit, answers written with the headers that every page of ours bears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_BODY = 10 * 1024 * 1024
"""Bytes. SendGrid posts at most 768 KB; what is larger than this is no provider's."""

# no-referrer: the token in the address must not travel to the pages that our pages and redirects lead to.
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
    (b"cache-control", b"no-store, private"),
)
_PAGE = (
    (b"content-security-policy",
     b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
)  # fmt: skip


class TooLargeError(Exception):
    """The body is larger than the limit; what came after it was not read."""


class GoneError(Exception):
    """The caller hung up before the body was whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a status, a body, and headers beside those that all answers bear."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    async def send(self, send: Send, *, head: bool = False) -> None:
        headers = [
            (b"content-type", self.content_type.encode("ascii")),
            (b"content-length", str(len(self.body)).encode()),
            *SECURITY,
            *(_PAGE if self.content_type.startswith("text/html") else ()),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body})


def text(status: int, words: str) -> Answer:
    """A short plain answer, for programs."""
    return Answer(status, words.encode())


def page(status: int, html: str) -> Answer:
    """A page for a person."""
    return Answer(status, html.encode(), "text/html; charset=utf-8")


def redirect(url: str) -> Answer:
    """302 to a URL that we wrote ourselves."""
    return Answer(302, headers=((b"location", url.encode("utf-8")),))


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case; of repeated ones the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def caller(scope: Scope) -> str:
    """The address at the other end of the connection, as uvicorn knows it."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def spoken(scope: Scope) -> str:
    """The language that the reader's browser asks for first."""
    return headers_of(scope).get("accept-language", "")[:2]


def form_of(body: bytes) -> dict[str, str]:
    """A form's fields; raises ValueError for what is none."""
    return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=200))


async def read_body(scope: Scope, receive: Receive, limit: int = LARGEST_BODY) -> bytes:
    """The whole body; raises TooLargeError as soon as that is known, reading no further."""
    announced = headers_of(scope).get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise TooLargeError
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise TooLargeError
        if not message.get("more_body", False):
            return b"".join(chunks)

"""One open connection to a relay, spoken to without waiting where the relay allows it (RFC 2920).

Connecting, TLS and login are aiosmtplib's; then the transport is ours, because its `data` reads each body several times:
650 µs of CPU a mail of 34 KB, against 30 here. With PIPELINING the next mail's envelope travels right behind the body of
this one, so that a mail costs one round trip. A reply belongs to the oldest command that has none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, cast

import aiosmtplib

ANSWER_WITHIN_S = 20.0

LONGEST_REPLY = 65_536
"""More than that without an end is no SMTP."""


class Reply(NamedTuple):
    """What the relay said: 250, 354, 421 … and its words."""

    code: int
    text: str


class Lost(Exception):
    """The connection is over; whether a mail had begun, only the caller knows."""


class Wire(asyncio.Protocol):
    """Commands out, replies in, in the same order."""

    def __init__(self, transport: asyncio.Transport, *, pipelines: bool, takes_utf8: bool) -> None:
        self.pipelines, self.takes_utf8 = pipelines, takes_utf8
        self.has_carried = False
        """A mail went over it, so it was good once."""
        self._transport = transport
        self._unread = b""
        self._lines: list[bytes] = []
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._over: Lost | None = None

    @property
    def is_over(self) -> bool:
        """Nothing can be said any more."""
        return self._over is not None

    def check(self) -> None:
        """Raises Lost where nothing can be said any more."""
        if self._over is not None:
            raise self._over

    def say(self, *commands: bytes) -> list[asyncio.Future[Reply]]:
        """Write these at once; a future for the reply to each. Raises Lost where the connection is over already."""
        self.check()
        self._transport.writelines(commands)
        loop = asyncio.get_running_loop()
        replies: list[asyncio.Future[Reply]] = [loop.create_future() for _ in commands]
        self._waiting.extend(replies)
        return replies

    async def hear(self, reply: asyncio.Future[Reply]) -> Reply:
        """The reply; raises Lost or TimeoutError, after which the connection is of no use."""
        if not reply.done():
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await reply
        return reply.result()

    def close(self) -> None:
        """Hang up."""
        self._end("closed")
        self._transport.close()

    async def quit(self) -> None:
        """Say goodbye, briefly, and hang up."""
        try:
            [bye] = self.say(b"QUIT\r\n")
            async with asyncio.timeout(2):
                await bye
        except (Lost, TimeoutError):
            pass
        self.close()

    def data_received(self, chunk: bytes) -> None:
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            self._lines.append(line[4:].strip())
            if line[3:4] != b"-":
                self._answer(line[:3], b"\n".join(self._lines).decode("utf-8", "replace"))
                self._lines = []
        if len(self._unread) + sum(map(len, self._lines)) > LONGEST_REPLY:
            self._end("a reply without an end")
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"{type(exc).__name__}: {exc}" if exc else "the relay hung up")

    def _answer(self, code: bytes, text: str) -> None:
        if not code.isdigit() or not self._waiting:
            # 421 on its own (a relay that goes away) or no SMTP at all: nothing can follow either.
            self._end(f"{code.decode('latin-1')} {text}".strip())
            self._transport.close()
            return
        reply = self._waiting.popleft()
        if not reply.done():
            reply.set_result(Reply(int(code), text))

    def _end(self, why: str) -> None:
        if self._over is None:
            self._over = Lost(why)
        for reply in self._waiting:
            if not reply.done():
                reply.set_exception(self._over)
                reply.exception()  # whoever waits gets it; an envelope that was said ahead has nobody to wait
        self._waiting.clear()


def take_over(smtp: aiosmtplib.SMTP) -> Wire:
    """The connection that aiosmtplib has opened, greeted and logged in to."""
    assert smtp.protocol is not None
    transport = cast(asyncio.Transport, smtp.protocol.transport)  # uvloop's are of no common class
    wire = Wire(
        transport, pipelines=smtp.supports_extension("pipelining"), takes_utf8=smtp.supports_extension("smtputf8")
    )
    transport.set_protocol(wire)
    return wire

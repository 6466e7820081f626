"""A provider in a process of its own: it answers as SendGrid and Twilio do, in moods, and counts what really arrived.

`python -m tests.crash.sink SEED` prints its address and serves until it is killed. A message has arrived when its whole
request was read, whatever answer the sender then got or lost; refused and throttled ones have not.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qs

THROTTLED = "throttled"
"""429, as documented: never looked at."""
FAILED_BEFORE, FAILED_AFTER = "failed_before", "failed_after"
"""503 by the provider's front: what lies behind it took the request, or did not."""
LOST, CUT, SLOW = "lost", "cut", "slow"
"""Taken, and the answer never comes · ends in its middle · comes late."""
MOODS = (THROTTLED, FAILED_BEFORE, FAILED_AFTER, LOST, CUT, SLOW)


@dataclass
class Sink:
    """What arrived, and how the next requests are answered."""

    chance: random.Random
    moods: dict[str, float] = field(default_factory=dict)
    """Mood → its share of requests; the rest is answered well."""
    status: int | None = None
    """All requests are refused so: 401 for a revoked key, 503 for an outage."""
    code: int | None = None
    """Twilio's code in the body of that refusal."""
    slow_s: float = 0.3
    most_people: int = 1000
    """More in one request are refused with 413."""
    requests: int = 0
    arrived: Counter[str] = field(default_factory=Counter)
    """cid → how often it arrived."""
    letters: Counter[str] = field(default_factory=Counter)
    """Address → how many messages arrived there."""
    answers: Counter[str] = field(default_factory=Counter)

    def take(self, cids: list[str], addresses: list[str]) -> None:
        self.arrived.update(cids)
        self.letters.update(addresses)

    def mood(self) -> str:
        drawn, low = self.chance.random(), 0.0
        for mood in MOODS:
            low += self.moods.get(mood, 0.0)
            if drawn < low:
                return mood
        return ""


Said = tuple[int, dict[str, str], object]
"""Status, headers, body."""


async def serve(seed: int) -> None:
    sink = Sink(random.Random(seed))
    server = await asyncio.start_server(lambda r, w: _talk(sink, r, w), "127.0.0.1", 0, limit=1 << 20, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


async def _talk(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await _one(sink, reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError, OSError):
        pass  # the sender was killed in the middle of a request: nothing arrived
    finally:
        writer.close()


async def _one(sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request; False when the connection is over."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    fields = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
    body = await reader.readexactly(int(fields.get("content-length", 0)))
    path = head.split(" ", 2)[1]
    if path.startswith("/sink/"):
        _write(writer, (200, {}, _control(sink, path, body)))
        return True
    return await _message(sink, path, body, writer)


def _control(sink: Sink, path: str, body: bytes) -> object:
    if path == "/sink/set":
        for name, value in json.loads(body).items():
            setattr(sink, name, value)
    if path == "/sink/forget":
        sink.arrived.clear()
        sink.letters.clear()
        sink.answers.clear()
    return {"arrived": sink.arrived, "letters": sink.letters, "requests": sink.requests, "answers": sink.answers}


async def _message(sink: Sink, path: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
    sink.requests += 1
    cids, addresses, refusal = _mail(sink, body) if path.endswith("/mail/send") else _text(body)
    refusal = _outage(sink, path) or refusal
    mood = "" if refusal else sink.mood()
    sink.answers[mood or str(refusal[0] if refusal else "taken")] += 1
    if refusal or mood == THROTTLED:
        _write(writer, refusal or _throttled(path))
        return True
    if mood != FAILED_BEFORE:
        sink.take(cids, addresses)
    if mood in (FAILED_BEFORE, FAILED_AFTER):
        _write(writer, (503, {}, {"errors": [{"field": None, "message": "upstream"}]}))
        return True
    good = _taken(path, sink.requests)
    if mood in (LOST, CUT):
        if mood == CUT:
            writer.write(_bytes(good)[:30])
            await writer.drain()
        writer.transport.abort()
        return False
    if mood == SLOW:
        await asyncio.sleep(sink.slow_s)
    _write(writer, good)
    return True


def _mail(sink: Sink, body: bytes) -> tuple[list[str], list[str], Said | None]:
    people = json.loads(body)["personalizations"]
    cids = [p["custom_args"]["cid"] for p in people]
    addresses = [p["to"][0]["email"] for p in people]
    if len(people) > sink.most_people:
        return cids, addresses, (413, {}, "<html>413 Request Entity Too Large</html>")
    if any(a.startswith("bad") for a in addresses):
        complaint = {"errors": [{"field": "personalizations", "message": "Does not contain a valid address."}]}
        return cids, addresses, (400, {}, complaint)
    return cids, addresses, None


BAD_NUMBERS = {"0001": 21211, "0002": 21610}
"""The end of a number → the code with which it is refused."""


def _text(body: bytes) -> tuple[list[str], list[str], Said | None]:
    form = parse_qs(body.decode())
    cid = form["StatusCallback"][0].partition("cid=")[2].partition("#")[0]
    to = form["To"][0]
    code = BAD_NUMBERS.get(to[-4:])
    return [cid], [to], (400, {}, {"code": code, "message": "refused", "status": 400}) if code else None


def _outage(sink: Sink, path: str) -> Said | None:
    if sink.status is None:
        return None
    headers = {"Retry-After": "40"} if sink.status == 429 else {}
    if path.endswith("/mail/send"):
        return sink.status, headers, {"errors": [{"field": None, "message": "refused by the test"}]}
    return sink.status, headers, {"code": sink.code, "message": "refused by the test", "status": sink.status}


def _throttled(path: str) -> Said:
    if path.endswith("/mail/send"):
        limits = {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
        return 429, limits, {"errors": [{"field": None, "message": "too many requests"}]}
    return 429, {"Retry-After": "1"}, {"code": 20429, "message": "Too Many Requests", "status": 429}


def _taken(path: str, number: int) -> Said:
    if path.endswith("/mail/send"):
        return 202, {"X-Message-Id": f"m{number:021}"}, ""
    return 201, {}, {"sid": f"SM{number:032x}", "status": "queued"}


def _bytes(said: Said) -> bytes:
    status, headers, body = said
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(content)}", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def _write(writer: asyncio.StreamWriter, said: Said) -> None:
    writer.write(_bytes(said))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))

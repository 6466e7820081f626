"""A shop's servers that report events at a steady rate: `python -m tests.benchmarks.tracker URL KEY RATE SECONDS PEOPLE EACH`.

An open loop: each request goes at its instant, however long the answers to those before it take. It prints as JSON how
many events were answered with 200 and how late the last request left.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from datetime import UTC, datetime

PLACES = 32
"""Connections that stay open, as of a pool of servers."""


async def track(url: str, key: str, rate: int, seconds: int, people: int, each: int) -> dict[str, float]:
    """Report `rate` carts a second, `each` in one request, everybody's in turn."""
    host, port = url.removeprefix("http://").split(":")
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(PLACES):
        free.put_nowait(await asyncio.open_connection(host, int(port)))
    auth = base64.b64encode(f"{key}:".encode()).decode()
    head = f"POST /v1/batch HTTP/1.1\r\nHost: shop\r\nAuthorization: Basic {auth}\r\nContent-Type: application/json\r\n"
    taken, late, began = 0, 0.0, time.monotonic()

    async def post(first: int) -> None:
        nonlocal taken
        body = json.dumps({"batch": [_cart(first + n, people) for n in range(each)]}).encode()
        reader, writer = await free.get()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        free.put_nowait((reader, writer))
        taken += each * answer.startswith(b"HTTP/1.1 200")

    async with asyncio.TaskGroup() as posts:
        for number in range(rate * seconds // each):
            due = began + number * each / rate
            if (ahead := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            late = max(late, -ahead)
            posts.create_task(post(number * each))
    return {"taken": taken, "seconds": time.monotonic() - began, "late_s": late}


def _cart(number: int, people: int) -> dict[str, object]:
    return {
        "type": "track", "event": "cart_updated", "userId": f"c{number % people}", "messageId": f"m{number}",
        "timestamp": datetime.now(UTC).isoformat(),
        "properties": {"cart_id": f"cart{number}", "total": f"{20 + number % 80}.00"},
    }  # fmt: skip


if __name__ == "__main__":
    url, key, *numbers = sys.argv[1:]
    rate, seconds, people, each = map(int, numbers)
    print(json.dumps(asyncio.run(track(url, key, rate, seconds, people, each))))

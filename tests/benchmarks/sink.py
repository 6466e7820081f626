"""A provider that costs next to nothing: it reads each request whole and answers as SendGrid does, in its own process."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

_ANSWER = "HTTP/1.1 202 Accepted\r\nServer: nginx\r\nX-Message-Id: m{}\r\nContent-Length: 0\r\n\r\n"


class _Sink(asyncio.Protocol):
    """Reads requests by their Content-Length, and accepts them all, at once or after a while."""

    numbers = itertools.count()

    def __init__(self, delay_s: float) -> None:
        self._delay_s, self._head, self._missing = delay_s, b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        if self._missing:
            self._missing -= len(chunk)
        else:
            head, end, rest = (self._head + chunk).partition(b"\r\n\r\n")
            if not end:
                self._head = head
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self._head, self._missing = b"", length - len(rest)
        if self._missing == 0:
            asyncio.get_running_loop().call_later(self._delay_s, self._accept) if self._delay_s else self._accept()

    def _accept(self) -> None:
        self._transport.write(_ANSWER.format(next(self.numbers)).encode())  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Sink:
    """Where it listens, and the process that it is."""

    url: str
    pid: int


@contextmanager
def sink(delay_s: float = 0.0) -> Iterator[Sink]:
    """A sink that listens on loopback until the block ends."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(there, delay_s), daemon=True)
    process.start()
    try:
        yield Sink(f"http://127.0.0.1:{here.recv()}", process.pid or 0)
    finally:
        process.terminate()
        process.join()


def _serve(port: Connection, delay_s: float) -> None:
    import uvloop

    async def go() -> None:
        server = await asyncio.get_running_loop().create_server(partial(_Sink, delay_s), "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(go())

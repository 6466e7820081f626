"""A mail relay in a thread of its own that misbehaves as it is told, and counts what it really took."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Said = str | None
"""A reply, or None: it hangs up without one."""


@dataclass
class Relay:
    """What arrived by recipient, and how the next commands are answered; recipients by the word before a digit."""

    greeting: Said = "220 mx.example ESMTP"
    sender: str = "250 2.1.0 OK"
    recipients: dict[str, str] = field(default_factory=dict)
    """Beginning of an address → the reply to RCPT."""
    data: dict[str, str] = field(default_factory=dict)
    """… → the reply to DATA."""
    ends: dict[str, Said] = field(default_factory=dict)
    """… → the reply to the body; whoever has None here was taken all the same."""
    greylists: bool = False
    """Whoever is seen for the first time is asked to come back."""
    closes_after: int | None = None
    """After so many mails a connection is ended with 421."""
    slow_s: float = 0.0
    pipelines: bool = True
    arrived: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    port: int = 0

    def reset(self) -> None:
        """Behave, and begin to count anew."""
        fresh = Relay(port=self.port)
        for name in Relay.__dataclass_fields__:
            setattr(self, name, getattr(fresh, name))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.greeting is not None:
                _say(writer, self.greeting)
                if self.greeting.startswith("220"):
                    await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender was killed
        finally:
            writer.close()


@dataclass
class _Session:
    relay: Relay
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    to: str = ""
    is_open: bool = False
    mails: int = 0

    async def run(self) -> None:
        while line := (await self.reader.readline()).decode("utf-8", "replace").strip():
            verb = line[:4].upper()
            self.relay.commands[verb] += 1
            said = self._reply(verb, line)
            if said is None:
                return
            _say(self.writer, said)
            if said.startswith(("421", "221")):
                return
            if said.startswith("354") and not await self._body():
                return

    def _reply(self, verb: str, line: str) -> Said:
        relay = self.relay
        match verb:
            case "EHLO":
                extensions = ["PIPELINING"] if relay.pipelines else []
                return "\r\n".join([*(f"250-{e}" for e in ["mx.example", *extensions]), "250 SIZE 30000000"])
            case "MAIL":
                self.to, self.is_open = "", relay.sender.startswith("250")
                if relay.closes_after is not None and self.mails >= relay.closes_after:
                    return "421 4.3.2 closing, come back"
                return relay.sender
            case "RCPT":
                return self._recipient(line.partition("<")[2].partition(">")[0])
            case "DATA":
                if not self.to:
                    return "503 5.5.1 no recipient"
                return _told(relay.data, self.to) or "354 go on"
            case "RSET":
                self.to = ""
                return "250 OK"
            case "QUIT":
                return "221 bye"
            case _:
                return "250 OK"

    def _recipient(self, address: str) -> str:
        relay = self.relay
        if not self.is_open:
            return "503 5.5.1 no sender"
        if refusal := _told(relay.recipients, address):
            return refusal
        if relay.greylists and address not in relay.seen:
            relay.seen.add(address)
            return "450 4.7.1 greylisted, come back in a minute"
        self.to = address
        return "250 2.1.5 OK"

    async def _body(self) -> bool:
        await self.reader.readuntil(b"\r\n.\r\n")
        await asyncio.sleep(self.relay.slow_s)
        told = next((said for begins, said in self.relay.ends.items() if self.to.startswith(begins)), "")
        if told is None or not told:
            self.relay.arrived[self.to] += 1
            self.mails += 1
        if told is None:
            return False
        _say(self.writer, told or "250 2.0.0 queued")
        return not told.startswith("421")


def _told(answers: dict[str, str], address: str) -> str | None:
    return next((said for begins, said in answers.items() if address.startswith(begins)), None)


def _say(writer: asyncio.StreamWriter, said: str) -> None:
    writer.write(said.encode() + b"\r\n")


@contextmanager
def relaying() -> Iterator[Relay]:
    """A relay on loopback until the block ends."""
    relay, ready, loop = Relay(), threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        server = await asyncio.start_server(lambda r, w: relay.talk(r, w), "127.0.0.1", 0, limit=1 << 22)
        relay.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await server.serve_forever()

    def run() -> None:
        task = loop.create_task(serve())
        tasks.append(task)
        with suppress(asyncio.CancelledError):  # the block has ended
            loop.run_until_complete(task)

    tasks: list[asyncio.Task[None]] = []
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    yield relay
    loop.call_soon_threadsafe(tasks[0].cancel)
    thread.join(5)

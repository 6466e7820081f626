"""A shop whose people are written to one by one, a whole advance over it, and sinks that answer as Twilio and a relay do."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

from carillon.advance.advance import Advanced, advance
from carillon.advance.engine import Engine
from carillon.consent.record import Said, record_consents
from carillon.delivery.protocol import Connector
from carillon.kernel.clock import SystemClock
from carillon.people.contacts import ContactRow
from tests.benchmarks.ground import Ground
from tests.shop import KEYS, Shop

WORKSPACE = """\
name: Acme
timezone: Europe/Berlin
currency: EUR
address: Acme GmbH, Hauptstr. 1, 10115 Berlin
languages: {en: [GB, US], de: [DE]}
public_url: https://t.acme.example
senders:
  email: {connector: EMAIL, from: Acme <hello@acme.example>}
  sms: {connector: twilio, messaging_service: MG0123456789}
topics:
  offers: {kind: marketing, name: Offers, consent: {email: explicit, sms: explicit}}
costs: {email: 0.0004, sms: {default: 0.06, GB: 0.04}}
limits:
  caps: [{channel: any, max: 4, per: 7d, when_full: skip}]
  quiet_hours: {sms: 21:00-08:00}
budget: {amount: 100000, per: month}
"""
DATA = """\
contact:
  city: word
  picks: [{name: word, price: money, page: word}]
events:
  order_completed: {total: money}
  cart_updated: {cart_id: word, total: money}
"""
_NAMES = ("Ada", "Bo", "Cleo", "Doris", "Emil", "Fatma", "Gus", "Hanna", "Ivo", "Jo")
_CITIES = ("Berlin", "London", "Leeds", "Hamburg", "Bristol", "Hove", "Boston", "Bremen")


def shop_of(ground: Ground, people: int, campaign: str, words: Mapping[str, str], email: str = "smtp") -> Shop:
    """`people` with both addresses and a yes to both channels, and the campaign `news`, applied and due now."""
    shop = Shop(ground.sqlite(), ground.path("workspace"))
    shop.write("workspace.yaml", WORKSPACE.replace("EMAIL", email))
    shop.write("data.yaml", DATA)
    shop.campaign("news", campaign, words)
    for first in range(0, people, 20_000):
        _take_in(shop, range(first, min(first + 20_000, people)))
    shop.force("news", planned=people)
    return shop


def _take_in(shop: Shop, numbers: range) -> None:
    shop._upsert([person(number) for number in numbers])
    with shop.store.write("core") as connection:
        said = [
            Said(i + 1, "offers", channel, "yes", "form", "", shop.clock.now())
            for i in numbers
            for channel in ("email", "sms")
        ]
        record_consents(connection, shop._standing_rules, said)


def person(number: int) -> ContactRow:
    picks = [
        {"name": f"Walking shoe {n}", "price": 1990 + n, "page": f"shoes/walking-{n}"}
        for n in ((number * (k + 3)) % 1000 for k in range(4))
    ]
    return ContactRow(
        f"c{number}", email=f"{_NAMES[number % 10].lower()}.{number}@mail{number % 40}.example",
        phone=f"+447400{number:06}", phone_country="GB", country="GB",
        attrs={"first_name": f"{_NAMES[number % 10]}{number % 800}", "city": _CITIES[number % 8], "picks": picks},
    )  # fmt: skip


def advanced_over(shop: Shop, connectors: Callable[[], Mapping[str, Connector]]) -> Advanced:
    """One advance of `news` with these connectors, from the segment query to the settled ledger."""
    engine = Engine(shop.store, connectors, {"twilio": 1000, "smtp": 500}, KEYS, shop.clock, SystemClock())
    return advance(engine, "news")


class TwilioSink(asyncio.Protocol):
    """Reads each form whole and answers as Twilio does; a form without a validity is refused, so that none is forgotten."""

    def __init__(self, count: list[int]) -> None:
        self._count, self._seen = count, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        self._seen += chunk
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = self._seen[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._seen) < end + 4 + length:
                return
            form, self._seen = self._seen[end + 4 : end + 4 + length], self._seen[end + 4 + length :]
            self._transport.write(self._answer(form))  # type: ignore[attr-defined]

    def _answer(self, form: bytes) -> bytes:
        self._count[0] += 1
        if b"ValidityPeriod=" not in form:
            return _http(b"400 Bad Request", b'{"code": 21700, "message": "no validity", "status": 400}')
        sid = b"SM%032x" % self._count[0]
        return _http(
            b"201 Created",
            b'{"sid": "%s", "status": "queued", "num_segments": "1", "price": null, "price_unit": "USD", "error_code": null}' % sid,
        )  # fmt: skip


def _http(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class RelaySink(asyncio.Protocol):
    """A relay that takes every mail: commands line by line or pipelined, bodies up to the lone dot."""

    def __init__(self, count: list[int]) -> None:
        self._count, self._seen, self._in_body = count, b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")  # type: ignore[attr-defined]

    def data_received(self, chunk: bytes) -> None:
        self._seen += chunk
        answers: list[bytes] = []
        while (end := self._seen.find(b"\r\n.\r\n" if self._in_body else b"\r\n")) >= 0:
            answers.append(self._body_ended() if self._in_body else self._command(self._seen[:4].upper()))
            self._seen = self._seen[end + (5 if answers[-1].startswith(b"250 2.0.0 taken") else 2) :]
        if answers:
            self._transport.write(b"".join(answers))  # type: ignore[attr-defined]

    def _body_ended(self) -> bytes:
        self._in_body = False
        self._count[0] += 1
        return b"250 2.0.0 taken as %d\r\n" % self._count[0]

    def _command(self, verb: bytes) -> bytes:
        match verb:
            case b"EHLO":
                return b"250-sink\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
            case b"DATA":
                self._in_body = True
                return b"354 go on\r\n"
            case b"QUIT":
                return b"221 bye\r\n"
            case _:
                return b"250 2.1.0 good\r\n"


@contextmanager
def sink_of(protocol: Callable[[list[int]], asyncio.Protocol]) -> Iterator[tuple[str, int]]:
    """Where the sink listens (host:port), and its process; it serves until the block ends."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, protocol), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{here.recv()}", process.pid or 0
    finally:
        process.terminate()
        process.join()


def _serve(port: Connection, protocol: Callable[[list[int]], asyncio.Protocol]) -> None:
    import uvloop

    async def go() -> None:
        server = await asyncio.get_running_loop().create_server(partial(protocol, [0]), "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(go())

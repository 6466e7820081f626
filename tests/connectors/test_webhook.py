"""Webhooks over a real socket: what is posted and signed, and what each answer means."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from carillon.delivery.protocol import (
    BODY,
    Accepted,
    Deferred,
    Outcome,
    People,
    Rejected,
    Sender,
    SharedCall,
    SharedSms,
    Unsure,
)
from carillon.kernel.clock import SECOND, VirtualClock
from connectors.webhook.account import account
from connectors.webhook.connector import make

SECRET = {"WEBHOOK_SECRET": "a secret of the tests"}
AT_S = 1_790_000_000


class System(ThreadingHTTPServer):
    """A system of ours that keeps what it is told and answers by the path's number; 0 hangs up."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.told: list[tuple[Mapping[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, System)
        self.server.told.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
        status = int(self.path.strip("/"))
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Retry-After", "7")
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    server = System()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def call(url: str, rows: list[int]) -> list[Outcome]:
    people = People(["", "", ""], ["k0", "k1", "k2"], {BODY: ['{"a":0}', '{"a":"ä"}', '{"a":2}']})

    async def go() -> list[Outcome]:
        webhook = make(SECRET, clock=VirtualClock(AT_S * SECOND))
        outcomes = list(await webhook.hand_over(webhook.build(SharedCall(Sender(url=url)), people), rows))
        await webhook.close()
        return outcomes

    return asyncio.run(go())


def test_each_call_is_signed_and_bears_its_key(system: System) -> None:
    """Only the rows that are asked for leave; the signature covers the instant and the bytes."""
    system.told.clear()
    assert call(f"{system.url}/200", [1]) == [Accepted("")]
    ((headers, body),) = system.told
    seal = hmac.new(SECRET["WEBHOOK_SECRET"].encode(), f"{AT_S}.".encode() + body, hashlib.sha256).hexdigest()
    assert body == '{"a":"ä"}'.encode()
    assert headers["Content-Type"] == "application/json"
    assert (headers["Idempotency-Key"], headers["Carillon-Signature"]) == ("k1", f"t={AT_S},v1={seal}")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (202, Accepted("")), (429, Deferred("429 Too Many Requests", 7.0)), (503, Deferred("503 Service Unavailable", 7.0)),
        (301, Rejected("301 Moved Permanently", "301")), (401, Rejected("401 Unauthorized", "401")),
        (404, Rejected("404 Not Found", "404")), (422, Rejected("422 Unprocessable Entity", "422")),
        (408, Unsure("408 Request Timeout")), (500, Unsure("500 Internal Server Error")),
    ],
)  # fmt: skip
def test_what_an_answer_means(system: System, status: int, outcome: Outcome) -> None:
    """Nothing is followed, nothing repeated."""
    system.told.clear()
    assert call(f"{system.url}/{status}", [0]) == [outcome]
    assert len(system.told) == 1


def test_who_hangs_up_may_have_taken_it(system: System) -> None:
    """A connection that is lost after the request is unsure."""
    assert [type(one) for one in call(f"{system.url}/0", [0])] == [Unsure]


@pytest.mark.parametrize(
    "url", ["http://desk.acme.example/x", "http://127.0.0.1.evil.example/", "ftp://127.0.0.1/", ""]
)
def test_only_https_or_this_machine_is_called(url: str) -> None:
    """Whatever workspace.yaml says."""
    webhook = make(SECRET)
    with pytest.raises(ValueError, match="https"):
        webhook.build(SharedCall(Sender(url=url)), People([""], ["k"], {BODY: ["{}"]}))
    with pytest.raises(ValueError, match="calls only"):
        webhook.build(SharedSms(Sender(), "x"), People([""], ["k"]))


def test_without_a_secret_nothing_is_called_and_doctor_says_so() -> None:
    """A short one is none."""
    for settings in ({}, {"WEBHOOK_SECRET": "short"}):
        with pytest.raises(ValueError, match="WEBHOOK_SECRET"):
            make(settings)
        assert not account(settings).is_good
    assert account(SECRET).is_good

"""Web and sandbox of the demo in one process, on one virtual clock."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import uvicorn

from carillon.assembly import URL_FILE, keyring_of, sandbox_folder, webhook_sources
from carillon.definition.model import Data
from carillon.demo.files import record
from carillon.demo.shop import Order
from carillon.kernel.clock import Micros, VirtualClock, from_micros, to_micros
from carillon.plan.applied import load_rules
from carillon.sandbox.behaviour import Behaviour
from carillon.sandbox.posts import AT_HEADER
from carillon.sandbox.server import Running, listen, make_world, start_sandbox, url_of
from carillon.settings import Settings
from carillon.store.engine import Store
from carillon.web.app import make_app
from carillon.web.wire import Receive, Scope, Send

POSTED_TOGETHER = 1_000

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_told_at: ContextVar[Micros | None] = ContextVar("told_at", default=None)


@dataclass(frozen=True, slots=True)
class ToldClock:
    """A virtual clock that is set back to the instant which a request says it happened at."""

    clock: VirtualClock

    def now(self) -> Micros:
        told = _told_at.get()
        return self.clock.now() if told is None else told


@dataclass(frozen=True, slots=True)
class OnToldTime:
    """The web as the sandbox needs it: a link is followed when the simulated person followed it."""

    app: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = AT_HEADER.lower().encode()
        told = next((value for key, value in scope.get("headers", ()) if key == name), None)
        token = _told_at.set(to_micros(datetime.fromisoformat(told.decode())) if told else None)
        try:
            await self.app(scope, receive, send)
        finally:
            _told_at.reset(token)


@dataclass(frozen=True, slots=True)
class Town:
    """The world outside the campaign: the providers and their people, and the shop that goes on selling."""

    sandbox: Running
    web_url: str
    clock: VirtualClock

    def prepare(self, now: Micros) -> None:
        """It is `now`: what is handed over next arrives then."""
        self.sandbox.move_clock(from_micros(now))

    def live_until(self, to: Micros, orders: Sequence[Order]) -> dict[str, int]:
        """People react, and the shop reports these orders; returns how much was told."""
        self.clock.move_to(max(to, self.clock.now()))  # the web takes nothing that lies far ahead
        self._report(orders)
        told = self.sandbox.advance(from_micros(to))
        return {**told, "other orders": len(orders)}

    def _report(self, orders: Sequence[Order]) -> None:
        key = base64.b64encode(f"{self.sandbox.keys.write_key}:".encode()).decode()
        with httpx.Client(trust_env=False, timeout=60, headers={"Authorization": f"Basic {key}"}) as http:
            for first in range(0, len(orders), POSTED_TOGETHER):
                batch = [_tracked(order) for order in orders[first : first + POSTED_TOGETHER]]
                http.post(f"{self.web_url}/v1/batch", json={"batch": batch}).raise_for_status()


def _tracked(order: Order) -> dict[str, object]:
    said = record(order)
    return {
        "type": "track",
        "event": "order_completed",
        "userId": said.pop("contact"),
        "timestamp": said.pop("at"),
        "messageId": order.order_id,
        "properties": said,
    }


@contextmanager
def town(settings: Settings, store: Store, data: Data, behaviour: Behaviour, starts: Micros) -> Iterator[Town]:
    """The demo's sandbox and web, serving on free ports until the block ends; runs in other processes find the sandbox."""
    folder, clock, listener = sandbox_folder(settings), VirtualClock(starts), listen(0)
    world = make_world(folder, behaviour=behaviour, webhooks=url_of(listener), starts=from_micros(starts))
    with store.read() as connection:
        rules = load_rules(connection)
    with start_sandbox(world) as running:
        app = make_app(
            store, keyring_of(settings, rules), webhook_sources(settings, running.settings), rules=lambda: rules,
            data=lambda: data, write_keys=[running.keys.write_key], clock=ToldClock(clock),
        )  # fmt: skip
        with _serving(OnToldTime(app), listener), _known_as(folder / URL_FILE, running.url):
            yield Town(running, url_of(listener), clock)


@contextmanager
def _serving(app: OnToldTime, listener: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
    thread.start()
    try:
        yield  # who connects before the server runs waits in the listener's queue
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def _known_as(file: Path, url: str) -> Iterator[None]:
    file.write_text(url)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)

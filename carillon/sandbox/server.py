"""The sandbox as a server on loopback: in a thread for tests and the demo, in the foreground for the command."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from carillon.kernel.clock import VirtualClock, to_micros
from carillon.sandbox.app import make_app
from carillon.sandbox.behaviour import Behaviour
from carillon.sandbox.keys import Keys, keys_of
from carillon.sandbox.store import Store
from carillon.sandbox.world import Fault, Meter, World


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox that serves: where it is, with which keys, and its handles."""

    url: str
    keys: Keys

    @property
    def settings(self) -> dict[str, str]:
        """The settings that point connectors at this sandbox."""
        return self.keys.settings(self.url)

    def move_clock(self, now: datetime) -> None:
        """Set the virtual clock, before messages of that instant are handed over."""
        self._post("clock", {"now": now.isoformat()})

    def advance(self, to: datetime) -> dict[str, int]:
        """Let people react until a virtual instant; returns how many events, callbacks and orders were told."""
        told: dict[str, int] = self._post("advance", {"to": to.isoformat()})
        return told

    def fail_next(self, *faults: Fault) -> None:
        """Let the next sends meet these faults."""
        self._post("faults", [{"status": f.status, "stored": f.stored, "delay_s": f.delay_s} for f in faults])

    def _post(self, handle: str, said: Any) -> Any:
        answer = httpx.post(f"{self.url}/sandbox/{handle}", json=said, timeout=600, trust_env=False)
        if answer.is_error:
            raise RuntimeError(f"the sandbox refused {handle}: {answer.text[:300]}")
        return answer.json()


def make_world(
    folder: Path | None = None,
    *,
    keys: Keys | None = None,
    behaviour: Behaviour | None = None,
    webhooks: str = "",
    starts: datetime | None = None,
    per_second: int = 0,
) -> World:
    """A world that keeps its file and keys in `folder`; without a folder it forgets everything at its end.

    With `starts` its clock is virtual and stands at that instant.
    """
    if keys is None:
        keys = keys_of(folder) if folder else Keys(b"sandbox")
    store = Store(folder / "sandbox.db" if folder else ":memory:")
    world = World(keys, store, behaviour or Behaviour(), folder, webhooks.rstrip("/"), meter=Meter(per_second))
    if starts is not None:
        world.clock = VirtualClock(to_micros(starts))
    return world


@contextmanager
def start_sandbox(world: World, port: int = 0) -> Iterator[Running]:
    """Serve this world from a thread, on loopback, until the block ends; port 0 takes a free one."""
    listener = listen(port)
    server = server_of(world)
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
    with _open(world, listener):
        thread.start()
        try:
            _wait_for(server, thread)
            yield Running(url_of(listener), world.keys)
        finally:
            server.should_exit = True
            thread.join(10)


def serve(world: World, listener: socket.socket, announce: Callable[[str, str], None]) -> None:
    """Serve this world in the foreground until SIGINT or SIGTERM; `announce` is told its URL and the webhooks'."""
    announce(url_of(listener), world.webhooks)
    with _open(world, listener), suppress(KeyboardInterrupt):
        server_of(world).run([listener])


@contextmanager
def _open(world: World, listener: socket.socket) -> Iterator[None]:
    """While it serves, its folder says where: that is how other commands find it."""
    said, url = world.folder / "url" if world.folder else None, url_of(listener)
    if said:
        said.write_text(url)
    try:
        yield
    finally:
        if said and said.exists() and said.read_text() == url:
            said.unlink()
        listener.close()
        world.store.close()


def listen(port: int) -> socket.socket:
    """A socket on loopback; raises OSError where the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)  # who connects before the server runs waits, and is not refused
    return listener


def url_of(listener: socket.socket) -> str:
    """The address under which a listener is reached."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def server_of(world: World) -> uvicorn.Server:
    """The server of a world, not yet running."""
    config = uvicorn.Config(
        make_app(world), log_level="warning", access_log=False, http="httptools", timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config)


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise RuntimeError("the sandbox did not start")

"""How fast `work` hands over: `python -m tests.delivery.speed [PEOPLE] [--profile] [--postgres URL]`.

A raw sink in a process of its own answers 202; people have ten attributes, the mail names three of them and two links.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import multiprocessing
import pstats
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from carillon.delivery.work import work
from carillon.kernel.worker import worker_id
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.migrate import open_store
from tests.delivery.ground import Clocks, Provider, connect, faults, seed, states
from tests.delivery.test_bodies import KEYS, WITH_SENDERS, apply, mail

ANSWER = b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m\r\nContent-Length: 0\r\n\r\n"


class Sink(asyncio.Protocol):
    """Reads requests by their Content-Length and accepts them all."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.head, self.missing = transport, b"", 0

    def data_received(self, chunk: bytes) -> None:
        if self.missing:
            self.missing -= len(chunk)
        else:
            self.head += chunk
            head, end, rest = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self.head, self.missing = b"", length - len(rest)
        if self.missing == 0:
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def serve(port: multiprocessing.Queue[int]) -> None:
    async def go() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(go())


def fill(store: Store, people: int) -> None:
    seed(store, people, language="en", sender="shop")
    products = "".join(f"<p>{i} {'lorem ipsum ' * 40}</p>" for i in range(30))
    apply(store, mail(f"<h1>{{{{ contact.first_name }}}} of {{{{ contact.city | default: 'here' }}}}</h1>{products}"
                      "<a href='https://shop.example/a'>a</a><a href='https://shop.example/b'>{{ contact.tier | default: 'x' }}</a>"))  # fmt: skip
    attrs = [
        (i, json.dumps({"first_name": f"Name{i % 8000}", "city": f"City{i % 900}", "tier": ["basic", "gold"][i % 2],
                        "a": i, "b": "x" * 20, "c": True, "d": [1, 2], "e": "2026-01-01", "f": 1.5}))
        for i in range(1, people + 1)
    ]  # fmt: skip
    from carillon.store.bulk import update_rows

    with store.write("core") as c:
        update_rows(c, t.contact, ("id",), ("attrs",), attrs)


async def hand_over(store: Store, url: str) -> tuple[float, float]:
    connectors = connect(Provider(url=url))
    clocks = Clocks()
    wall, cpu = time.perf_counter(), time.process_time()
    await work(
        store, connectors=connectors, rules=replace(WITH_SENDERS), keyring=KEYS, campaign_clock=clocks.campaign,
        machine_clock=clocks.machine, worker=worker_id(), campaign_id=3,
    )  # fmt: skip
    took = time.perf_counter() - wall, time.process_time() - cpu
    for connector in connectors.values():
        await connector.close()
    return took


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("people", type=int, nargs="?", default=100_000)
    asked.add_argument("--profile", action="store_true")
    asked.add_argument("--postgres")
    wanted = asked.parse_args()
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    sink = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    sink.start()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(wanted.postgres or f"sqlite:///{Path(folder) / 'speed.db'}")
        fill(store, wanted.people)
        url = f"http://127.0.0.1:{ports.get()}"
        profile = cProfile.Profile()
        if wanted.profile:
            import threading

            threading.setprofile(lambda *_: None)
            profile.enable()
        wall, cpu = asyncio.run(hand_over(store, url))
        if wanted.profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        assert states(store) == {"accepted": wanted.people}
        assert faults(store) == []
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{wanted.people:,} people in {wall:.2f} s: {wanted.people / wall:,.0f}/s, "
              f"{cpu / wanted.people * 1e6:.1f} µs CPU a person, {memory} MB at most")  # fmt: skip
        store.close()
    sink.terminate()


if __name__ == "__main__":
    main()

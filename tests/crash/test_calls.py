"""kill -9 while a system of ours is called: nobody's call is posted twice, and at most one window is unsure."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from carillon.delivery.model import WINDOW
from carillon.store.engine import Store
from tests.crash.house import WORKSPACE, House, Sink, sink
from tests.crash.test_moods import applied, run

CALL = "audience: everyone\nentry: {at: 2026-12-01 10:00}\njourney: [{webhook: desk}]\n"
PEOPLE = 150


class Caller(House):
    """A house whose campaign calls a system."""

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "WEBHOOK_SECRET": "a secret of the kill suite"}


@pytest.fixture
def keys() -> Counter[str]:
    """Idempotency-Key → how often it was posted."""
    return Counter()


@pytest.fixture
def system(keys: Counter[str]) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            keys[self.headers["Idempotency-Key"]] += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/cases"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def one_sink() -> Iterator[Sink]:
    with sink() as it:
        yield it


@pytest.mark.parametrize(
    ("point", "called"),
    [("after_claim_commit", 0), ("mid_hand_over", WINDOW), ("after_hand_over_before_settle", WINDOW)],
)
def test_a_killed_run_leaves_at_most_a_window_unsure_and_calls_nobody_twice(
    sqlite_store: Store, tmp_path: Path, one_sink: Sink, system: str, keys: Counter[str], point: str, called: int
) -> None:
    """What the killed process had settled stands; the open window waits for a person; the others are called."""
    house = Caller(sqlite_store, tmp_path / "shop", one_sink)
    line = f"  webhook:\n    desk: {{connector: webhook, url: '{system}'}}\ntopics:\n"
    house.shop.write("workspace.yaml", WORKSPACE.replace("topics:\n", line, 1))
    house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
    applied(house, CALL, PEOPLE)
    child = house.start("run", "sale", "--now", "2026-12-01T10:01", crash_at=point)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert keys.total() == called
    run(house)
    assert set(keys.values()) == {1}
    assert house.states() == {"accepted": PEOPLE - WINDOW, "unsure": WINDOW}

"""A real web server in Carillon's place that keeps what the sandbox posts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    status: int = 204

    def at(self, path: str) -> list[Call]:
        """The calls below a path, in the order in which they came."""
        return [call for call in self.calls if call.path.startswith(path)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Keep(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.calls.append(Call(self.command, self.path, dict(self.headers), body))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # five by default: who comes sixth waits a second for its second try

    served = Server(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{served.server_address[1]}"
    try:
        yield receiver
    finally:
        served.shutdown()
        served.server_close()
        thread.join(5)

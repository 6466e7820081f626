"""`carillon web`: pixel, clicks, unsubscribe, preferences, webhooks and the events API, alone in a process."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # the command's module is imported for its help, the web's rooms when it runs
    from socket import socket

    from carillon.cli.opened import Opened
    from carillon.web.app import WebApp


@click.command("web")
@click.option("--port", default=4280, show_default=True, help="Port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface; loopback unless a proxy is elsewhere.")
def web(port: int, host: str) -> None:
    """Serve the public pages, the providers' webhooks and the events API."""
    from socket import SO_REUSEADDR, SOL_SOCKET, socket

    from carillon.cli.opened import opened, refuse

    # uvicorn raises SIGTERM again once it has cleaned up: without this the process would die before the store is closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with opened() as here:
        listener = socket()
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)  # who reads the line below may connect at once
        except OSError as fault:
            refuse(f"{host}:{port} cannot be served: {fault.strerror}", "choose another with --port", code=3)
        try:
            app = _app(here)
        except (LookupError, ValueError) as fault:  # nothing applied yet, or a key that real senders must not use
            refuse(str(fault))
        click.echo(f"Serving http://{host}:{listener.getsockname()[1]}/  (health: /health). Ctrl-C ends it.")
        sys.stdout.flush()
        _serve(app, listener)


def _app(here: Opened) -> WebApp:
    from carillon.assembly import keyring_of, running_sandbox, uses_sandbox, webhook_sources, write_keys
    from carillon.web.app import make_app
    from carillon.web.rules_at_hand import RulesAtHand

    rules, settings = RulesAtHand(here.store), here.settings
    sandbox = running_sandbox(settings) if uses_sandbox(rules()) else None
    keys = write_keys(settings, sandbox)
    if not keys:
        click.echo("The events API is closed: CARILLON_WRITE_KEY is not set.", err=True)
    return make_app(
        here.store, keyring_of(settings, rules()), webhook_sources(settings, sandbox), rules=rules,
        data=lambda: here.loaded.data, write_keys=keys,
    )  # fmt: skip


def _serve(app: WebApp, listener: socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=10
    )
    uvicorn.Server(config).run(sockets=[listener])

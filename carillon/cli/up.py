"""`carillon up`: everything on one machine: Prefect server and worker as children, web and sandbox in this process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import opened, refuse

if TYPE_CHECKING:
    from carillon.advance.engine import Engine
    from carillon.cli.opened import Opened


@click.command("up", epilog="Example: carillon up   (Ctrl-C stops all of it)")
@click.option("--prefect-port", default=4200, show_default=True, help="Prefect's UI and API.")
@click.option("--web-port", default=4280, show_default=True, help="Pixel, clicks, webhooks, events API.")
@click.option("--sandbox-port", default=4260, show_default=True, help="The sandbox's inbox, where a sender uses it.")
def up(prefect_port: int, web_port: int, sandbox_port: int) -> None:
    """Start everything on this machine and keep it running until Ctrl-C; people and runs stay as they are.

    Campaigns that were applied before are deployed to Prefect; what was missed while nothing ran is taken up at once.
    """
    from carillon.cli import prefect_side as prefect
    from carillon.plan.applied import load_rules

    # uvicorn raises SIGTERM again once it has cleaned up; without this the children would be left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with opened() as house, ExitStack() as stack:
        try:
            with house.store.read() as connection:
                rules = load_rules(connection)
        except LookupError as error:
            refuse(str(error.args[0]))
        sandbox = stack.enter_context(_sandbox(house, sandbox_port, web_port))
        click.echo("Starting Prefect (the first time takes up to half a minute) …")
        try:
            server, api_url = prefect.start_server(house.settings, prefect_port)
        except (TimeoutError, ChildProcessError) as error:
            refuse(str(error), code=3)
        stack.callback(server.stop)
        told = prefect.deploy(house.settings, api_url)
        worker = prefect.start_worker(house.settings, api_url)
        stack.callback(worker.stop)
        stack.enter_context(_attending(house, sandbox))
        click.echo(f"Prefect      http://127.0.0.1:{prefect_port}  ({', '.join(told['deployed']) or 'no campaign'})")
        click.echo(f"Web          http://127.0.0.1:{web_port}/health")
        if sandbox is not None:
            click.echo(f"Inbox        http://127.0.0.1:{sandbox_port}/")
        click.echo(f"Workspace    {rules.name}, {rules.timezone}. Ctrl-C stops everything.")
        sys.stdout.flush()
        try:
            _serve_web(house, sandbox, web_port)
        except KeyboardInterrupt:
            pass
        finally:
            click.echo("Stopping …")


@contextmanager
def _sandbox(house: Opened, port: int, web_port: int) -> Iterator[dict[str, str] | None]:
    """The workspace's sandbox, served from this process; its people report to our web."""
    from carillon.assembly import URL_FILE, sandbox_folder, uses_sandbox
    from carillon.plan.applied import load_rules

    with house.store.read() as connection:
        rules = load_rules(connection)
    if not uses_sandbox(rules):
        yield None
        return
    from carillon.sandbox.server import make_world, start_sandbox

    folder = sandbox_folder(house.settings)
    world = make_world(folder, webhooks=f"http://127.0.0.1:{web_port}")
    with start_sandbox(world, port) as running:
        (folder / URL_FILE).write_text(running.url)
        try:
            yield running.settings
        finally:
            world.webhooks = ""  # the web has stopped: its people have nobody to report to
            (folder / URL_FILE).unlink(missing_ok=True)


@contextmanager
def _attending(house: Opened, sandbox: dict[str, str] | None) -> Iterator[None]:
    """The loop that folds what comes in and lets the engine advance, in a thread."""
    from carillon.advance.attend import attend
    from carillon.assembly import engine_of

    engine: Engine = engine_of(house.settings, house.store, sandbox=sandbox)
    stop = threading.Event()
    thread = threading.Thread(target=attend, args=(engine, stop), name="attend")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _serve_web(house: Opened, sandbox: dict[str, str] | None, port: int) -> None:
    import uvicorn

    from carillon.assembly import keyring_of, webhook_sources
    from carillon.web.app import make_app
    from carillon.web.rules_at_hand import RulesAtHand

    rules = RulesAtHand(house.store)
    write_keys = [key.strip() for key in house.settings.get("CARILLON_WRITE_KEY").split(",") if key.strip()]
    if sandbox is not None:
        write_keys.append(sandbox["CARILLON_WRITE_KEY"])
    app = make_app(
        house.store, keyring_of(house.settings, rules()), webhook_sources(house.settings, sandbox), rules=rules,
        data=lambda: house.loaded.data, write_keys=write_keys,
    )  # fmt: skip
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, server_header=False)

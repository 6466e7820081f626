"""`carillon up`: everything on one machine: Prefect server and worker as children, web and sandbox in this process."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import opened, refuse

if TYPE_CHECKING:
    from socket import socket
    from types import FrameType

    from carillon.cli.opened import Opened
    from carillon.cli.prefect_runs import Planner
    from carillon.cli.prefect_side import Child
    from carillon.cli.running import Note
    from carillon.plan.rules import Rules

LOOK_EVERY_S = 1.0
LONGEST_WAIT_S = 30.0


@click.command("up", epilog="Example: carillon up   (Ctrl-C stops all of it)")
@click.option("--prefect-port", default=4200, show_default=True, help="Prefect's UI and API; 0 takes a free one.")
@click.option("--web-port", default=4280, show_default=True, help="Pixel, clicks, webhooks, events API; 0: a free one.")
@click.option("--sandbox-port", default=4260, show_default=True, help="The sandbox's inbox, where a sender uses it.")
def up(prefect_port: int, web_port: int, sandbox_port: int) -> None:
    """Start everything on this machine and keep it running until Ctrl-C; people and runs stay as they are.

    Campaigns that were applied before are deployed to Prefect; what was missed while nothing ran is taken up at once.
    """
    from carillon.cli.running import AlreadyUp, alone
    from carillon.plan.applied import load_rules

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop_once)
    with opened() as house, ExitStack() as stack:
        try:
            with house.store.read() as connection:
                rules = load_rules(connection)
            note = stack.enter_context(alone(house.settings))
            _run(house, rules, note, stack, prefect_port, web_port, sandbox_port)
        except (LookupError, ValueError, AlreadyUp) as error:
            refuse(str(error.args[0]))
        except OSError as error:
            refuse(str(error), code=3)
        except KeyboardInterrupt:
            click.echo("Stopping …")


def _stop_once(number: int, frame: FrameType | None) -> None:
    """The first signal ends the waiting; further ones must not interrupt the stopping."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(
    house: Opened, rules: Rules, note: Note, stack: ExitStack, prefect_port: int, web_port: int, sandbox_port: int
) -> None:
    """Start everything in the order in which it is needed, and stay; the stack ends it in reverse."""
    from carillon.cli.prefect_runs import Planner, plan_tidying
    from carillon.cli.prefect_side import api_at

    # All ports first: whoever finds one taken has started nothing.
    listener = stack.enter_context(_port(web_port, "--web-port"))
    with _port(prefect_port, "--prefect-port") as probe:
        prefect_port = probe.getsockname()[1]
    sandbox_url = _sandbox_url(rules, sandbox_port)

    planner = Planner()
    sandbox = _web(house, rules, stack, listener, sandbox_url)
    stack.enter_context(_attending(house, sandbox, planner))
    click.echo(f"Workspace    {rules.name}, {rules.timezone}")
    click.echo(f"Web          http://127.0.0.1:{listener.getsockname()[1]}/health   (events: POST /v1/track)")
    if sandbox_url:
        click.echo(f"Inbox        {sandbox_url}/   (the write key: {sandbox_url}/sandbox/keys)")
    click.echo("Starting Prefect (the first time takes up to half a minute) …")
    sys.stdout.flush()
    children = _prefect(house, note, stack, planner, prefect_port)
    click.echo("Everything runs. Ctrl-C stops it.")
    sys.stdout.flush()
    is_untidy = False
    while True:
        time.sleep(LOOK_EVERY_S)
        started = [child.look() for child in children]  # each of them, whatever the first says
        is_untidy |= any(started)
        is_untidy = is_untidy and not plan_tidying(api_at(prefect_port))


@contextmanager
def _port(port: int, option: str) -> Iterator[socket]:
    """A socket that listens on loopback; raises OSError with a sentence where the port is taken."""
    from carillon.sandbox.server import listen

    try:
        listener = listen(port)
    except OSError as fault:
        raise OSError(
            f"port {port} of this machine cannot be used ({fault.strerror}): choose another with {option}"
        ) from None
    with listener:
        yield listener


def _sandbox_url(rules: Rules, port: int) -> str | None:
    from carillon.assembly import uses_sandbox

    if not uses_sandbox(rules):
        return None
    with _port(port, "--sandbox-port") as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _web(
    house: Opened, rules: Rules, stack: ExitStack, listener: socket, sandbox_url: str | None
) -> dict[str, str] | None:
    """Serve the web, then the sandbox, whose people report to it; returns the sandbox's settings."""
    from carillon.assembly import sandbox_folder
    from carillon.sandbox.keys import keys_of
    from carillon.sandbox.server import make_world, start_sandbox

    folder = sandbox_folder(house.settings)
    sandbox = keys_of(folder).settings(sandbox_url) if sandbox_url else None
    stack.enter_context(_serving(house, rules, sandbox, listener))
    if sandbox_url is not None:
        world = make_world(folder, webhooks=f"http://127.0.0.1:{listener.getsockname()[1]}")
        stack.enter_context(start_sandbox(world, int(sandbox_url.rpartition(":")[2])))
    return sandbox


@contextmanager
def _serving(house: Opened, rules: Rules, sandbox: dict[str, str] | None, listener: socket) -> Iterator[None]:
    """The web, in a thread; who connects before it serves waits in the listener's queue."""
    import uvicorn

    from carillon.assembly import keyring_of, webhook_sources, write_keys
    from carillon.web.app import make_app
    from carillon.web.rules_at_hand import RulesAtHand

    app = make_app(
        house.store, keyring_of(house.settings, rules), webhook_sources(house.settings, sandbox),
        rules=RulesAtHand(house.store), data=lambda: house.loaded.data, write_keys=write_keys(house.settings, sandbox),
    )  # fmt: skip
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
    )
    server = uvicorn.Server(config)
    with _in_thread("web", lambda: server.run([listener]), lambda: setattr(server, "should_exit", True)):
        yield


@contextmanager
def _attending(house: Opened, sandbox: dict[str, str] | None, planner: Planner) -> Iterator[None]:
    """The loop that folds what comes in and lets the engine advance."""
    from carillon.advance.attend import attend
    from carillon.assembly import engine_of

    engine, stop = engine_of(house.settings, house.store, sandbox=sandbox), threading.Event()
    with _in_thread("attend", lambda: attend(engine, stop, told=planner), stop.set):
        yield


@contextmanager
def _in_thread(name: str, run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def _prefect(house: Opened, note: Note, stack: ExitStack, planner: Planner, port: int) -> list[_Kept]:
    """Prefect's server and worker as children, the campaigns deployed in between."""
    from carillon.cli import prefect_side as prefect

    settings = house.settings
    api_url = prefect.api_at(port)
    server = _Kept(
        lambda: prefect.launch_server(settings, port)[0],
        note,
        ready=lambda child: prefect.wait_for_server(settings, child, api_url),
    )
    stack.callback(server.stop)
    server.start()
    told = prefect.deploy(settings, api_url, nothing_runs=settings.database_url.startswith("sqlite"))
    planner.api_url = api_url
    stack.callback(planner.rest)
    worker = _Kept(lambda: prefect.start_worker(settings, api_url), note)
    stack.callback(worker.stop)
    worker.start()
    n = len(told["deployed"])
    names = f"{n} campaign{'s' if n != 1 else ''}: {', '.join(told['deployed'])}" if n else "no campaign"
    click.echo(f"Prefect      http://127.0.0.1:{port}   ({names})")
    return [server, worker]


class _Kept:
    """A child that is started again when it ends unasked; one that ends again and again, after a longer while each time."""

    def __init__(self, launch: Callable[[], Child], note: Note, ready: Callable[[Child], None] | None = None) -> None:
        self._launch, self._note, self._ready = launch, note, ready
        self._child: Child | None = None
        self._began_at = self._again_at = 0.0
        self._wait_s = 0.0

    def start(self) -> None:
        """Start it for the first time, and wait until it is ready: what fails now is for the person who looks on."""
        self._begin()
        if self._ready is not None and self._child is not None:
            self._ready(self._child)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def look(self) -> bool:
        """Start it again where it has ended and it is time; whether it was started now. Nothing here may end the rest."""
        if self._child is not None:
            code = self._child.process.poll()
            if code is None:
                return False
            self._ended(self._child, code)
        if time.monotonic() < self._again_at:
            return False
        try:
            self._begin()
        except OSError as fault:
            click.echo(f"It could not be started: {fault}", err=True)
            self._wait_longer()
            return False
        return True

    def _begin(self) -> None:
        self._began_at = time.monotonic()
        self._child = self._launch()
        self._note.add(self._child.process.pid)

    def _ended(self, child: Child, code: int) -> None:
        self._child = None
        if time.monotonic() - self._began_at > LONGEST_WAIT_S:
            self._wait_s, self._again_at = 0.0, 0.0
        else:
            self._wait_longer()
        click.echo(f"The {child.name} has ended ({code}): starting it again", err=True)

    def _wait_longer(self) -> None:
        self._wait_s = min(max(LOOK_EVERY_S, 2 * self._wait_s), LONGEST_WAIT_S)
        self._again_at = time.monotonic() + self._wait_s

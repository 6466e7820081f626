"""`carillon sandbox`: SendGrid's and Twilio's doubles on loopback, with an inbox in the browser."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click


def _instant(_: click.Context, __: click.Parameter, given: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(given) if given else None
    except ValueError:
        at = None
    if given and (at is None or at.tzinfo is None):
        raise click.BadParameter(f"{given!r} is not an instant with its zone, like 2026-12-01T09:00+01:00")
    return at


@click.command("sandbox")
@click.option("--port", default=4260, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(".carillon/sandbox"),
              show_default=True, help="Where messages and keys are kept.")  # fmt: skip
@click.option("--behaviour", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="YAML with the rates and ways of simulated people.")  # fmt: skip
@click.option("--seed", type=int, help="Which people they are; the same seed does the same.")
@click.option("--webhooks", default="", metavar="URL", help="Carillon's web: people react and report there.")
@click.option("--rate", default=0, metavar="N", help="Mail requests a second before 429; 0: no limit.")
@click.option("--virtual", "starts", metavar="INSTANT", callback=_instant, help="Stand still at this instant (with its zone) until told by "
              "POST /sandbox/advance; without it people live in real time.")  # fmt: skip
def sandbox(
    port: int, folder: Path, behaviour: Path | None, seed: int | None, webhooks: str, rate: int, starts: datetime | None
) -> None:
    """Serve a SendGrid and a Twilio on this machine, from which nothing leaves it."""
    from dataclasses import replace

    from carillon.sandbox.behaviour import Behaviour, load_behaviour
    from carillon.sandbox.server import listen, make_world, serve

    try:
        model = load_behaviour(behaviour) if behaviour else Behaviour()
    except ValueError as fault:
        raise click.ClickException(str(fault)) from fault
    if seed is not None:
        model = replace(model, seed=seed)
    try:
        listener = listen(port)
    except OSError:
        raise click.ClickException(f"port {port} is taken: another sandbox? Choose one with --port") from None
    world = make_world(folder, behaviour=model, webhooks=webhooks, starts=starts, per_second=rate)
    serve(world, listener, _announce)


def _announce(url: str, people: str) -> None:
    click.echo(f"Inbox            {url}/")
    click.echo(f"Keys             {url}/sandbox/keys")
    click.echo(f"People           {'report to ' + people if people else 'do nothing (--webhooks URL lets them react)'}")
    click.echo("Ctrl-C ends it.")
    sys.stdout.flush()

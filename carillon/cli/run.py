"""`carillon run`: one advance of a campaign in the foreground, without any server."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import instant_of, json_option, now_option, opened_store, refuse, tell_json

if TYPE_CHECKING:
    from carillon.advance.advance import Advanced


@click.command("run", epilog="Example: carillon run spring_sale --now 2026-12-01T09:00")
@click.argument("campaigns", nargs=-1, required=True)
@now_option
@json_option
def run(campaigns: tuple[str, ...], now: str | None, as_json: bool) -> None:
    """Advance applied campaigns to now: take people in, decide, hand over what is due.

    With --now only this campaign is decided, at that instant; what it hands over to the sandbox arrives there at once.
    """
    from rich.console import Console

    from carillon.advance.advance import advance
    from carillon.advance.lease import AlreadyRunning
    from carillon.assembly import engine_of, sandbox_at_hand
    from carillon.cli.watching import Watch, progress_bar
    from carillon.kernel.clock import SystemClock, VirtualClock
    from carillon.kernel.stopping import asked_to_stop
    from carillon.plan.applied import load_rules

    with opened_store() as (settings, store):
        try:
            with store.read() as connection:
                rules = load_rules(connection)
        except LookupError as error:
            refuse(str(error.args[0]))
        clock = VirtualClock(instant_of(now, rules.timezone)) if now else SystemClock()
        done = []
        bar = progress_bar(Console(stderr=True, highlight=False), is_silent=as_json)
        with sandbox_at_hand(settings, rules) as sandbox, bar, asked_to_stop(_say_stopping) as stopping:
            engine = engine_of(settings, store, campaign_clock=clock, sandbox=sandbox)
            for name in campaigns:
                if stopping():
                    break
                watch = Watch(bar, name)
                try:
                    done.append(
                        advance(
                            engine, name, alone=now is not None, perform=watch.perform, progress=watch.progress,
                            stopping=stopping,
                        )
                    )  # fmt: skip
                    watch.end()
                except LookupError as error:
                    refuse(str(error.args[0]))
                except AlreadyRunning:
                    refuse(f"{name} is already running")
            is_stopped = stopping()
    if as_json:
        tell_json([_json(a) for a in done])
    else:
        for advanced in done:
            _show(advanced, rules.timezone)
    if is_stopped:
        refuse("Stopped: what is left goes out with the next run")
    sys.exit(1 if any(a.hold_reason or a.work.held or any(one.people for one in a.awaits) for a in done) else 0)


def _say_stopping() -> None:
    # Told from a signal handler, which may have come in the middle of a print.
    os.write(2, "\nStopping when the batch in hand is settled …\n".encode())


def _show(advanced: Advanced, zone: str) -> None:
    from carillon.kernel.clock import clock_time

    click.echo(f"{advanced.campaign} at {clock_time(advanced.at, zone)}")
    for stage in advanced.stages:
        click.echo(f"  {stage.line}")
    if not advanced.stages:
        click.echo("  nothing is due")
    for connector, reason in advanced.work.held.items():
        click.echo(
            f"  {connector} takes nothing until a person looks: {reason} (carillon resume --connector {connector})"
        )
    for reason in sorted(set(advanced.work.unbuilt.values())):
        click.echo(f"  could not be built, tried again later: {reason}")
    if advanced.hold_reason:
        click.echo(f"  held: {advanced.hold_reason} (carillon approve {advanced.campaign})")
    for one in advanced.awaits:
        click.echo(f"  {one.sentence} (carillon approve {advanced.campaign})")
    if advanced.next_due is not None:
        click.echo(f"  next: {clock_time(advanced.next_due, zone)}")


def _json(advanced: Advanced) -> dict[str, object]:
    from carillon.kernel.clock import from_micros

    return {
        "campaign": advanced.campaign,
        "at": from_micros(advanced.at).isoformat(),
        "stages": [{"title": s.title, "step": s.step, "counts": dict(s.counts)} for s in advanced.stages],
        "held": dict(advanced.work.held),
        "hold_reason": advanced.hold_reason,
        "awaits": [one.sentence for one in advanced.awaits],
        "next_due": None if advanced.next_due is None else from_micros(advanced.next_due).isoformat(),
    }

"""`carillon explain`: one contact in one campaign, from the condition to the click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import json_option, now_option, opened, refuse, tell_json

if TYPE_CHECKING:  # imported when the command runs
    from carillon.audience.reference import Trace
    from carillon.foresight.explain import Explained
    from carillon.foresight.explain_ways import Way

WAITED = "waited"
_MARKS = {True: "✓", False: "✗", None: "?"}


@click.command("explain", epilog="Example: carillon explain c1042 spring_sale")
@click.argument("contact")
@click.argument("campaign")
@now_option
@json_option
def explain(contact: str, campaign: str, now: str | None, as_json: bool) -> None:
    """Show why CONTACT (the shop's id) got something from CAMPAIGN, or nothing, and what comes next."""
    from carillon.foresight.explain import explain as look
    from carillon.journey.ground import load_ground
    from carillon.store.zones import ready_for_zones

    with opened() as house:
        ready_for_zones(house.store)
        try:
            ground = load_ground(house.store, campaign, house.instant(now))
            with house.store.read() as connection:
                told = look(connection, ground, contact)
        except LookupError as error:
            refuse(str(error.args[0]))
    if as_json:
        tell_json(_json(told))
    else:
        for line in lines(told):
            click.echo(line)


def lines(told: Explained) -> Iterator[str]:
    """The answer in a terminal."""
    yield f"{told.contact} in {told.campaign}, as of {_clock(told.at)}"
    yield ""
    yield "Audience"
    yield from (f"  {line}" for line in _condition(told.audience))
    yield f"Role: {told.role.replace('_', ' by ')}"
    for draw in told.draws:
        share = f"of which the first {draw.share:,} are held" if draw.share else "nobody is held"
        yield f"  {draw.experiment}: bucket {draw.bucket:,} of 10,000, {share}"
    yield f"Clock: {told.clock}"
    yield from _chances(told)
    for way in told.ways:
        yield ""
        yield from _way(way)
    yield ""
    yield "Never entered." if not told.ways else "Again?"
    for entry, answer in told.entries:
        yield f"  {entry}: {answer}"
    yield "If it were due now"
    for step, answer in told.messages:
        yield f"  {step}: {answer}"
    for sentence in told.waits:
        yield f"  but nothing leaves: {sentence}"


def _chances(told: Explained) -> Iterator[str]:
    if told.chances:
        yield ""
        yield "What could have taken them in"
    for one in told.chances:
        about = f" {one.thing}" if one.thing else ""
        yield f"  {_clock(one.at)}  {one.entry}{about}: {'took them in' if one.took_in else f'did not: {one.why}'}"


def _condition(trace: Trace, depth: int = 0) -> Iterator[str]:
    found = f"  [{trace.found}]" if trace.found else ""
    yield f"{'  ' * depth}{_MARKS[trace.holds]} {trace.asks}{found}"
    for part in trace.parts:
        yield from _condition(part, depth + 1)


def _way(way: Way) -> Iterator[str]:
    about = f" about {way.thing}" if way.thing else ""
    by = f" by {way.entry}" if way.entry else ""
    version = f"version {way.version}" + (f" of {_clock(way.applied_at)}" if way.applied_at else "")
    yield f"Entered {_clock(way.entered_at)}{by}{about} as {way.role} on {version} (enrolment {way.id})"
    if way.trigger_at is not None:
        yield f"  {_clock(way.trigger_at)}  the event it is about"
    for h in way.happenings:
        since = "" if h.since is None else f"{'' if h.what == WAITED else ', waited'} since {_clock(h.since)}"
        yield f"  {_clock(h.at)}  {h.step}: {h.what}{since}" + (f" – {h.why}" if h.why else "")
    if way.exit_code is not None:
        yield f"  {_clock(way.ended_at)}  left: {way.exit_code}"
    else:
        yield f"  stands at {way.stands_at}, " + (f"due {_clock(way.due_at)}" if way.due_at else "waits for what comes")


def _clock(at: int | None) -> str:
    from carillon.kernel.clock import from_micros

    return "–" if at is None else f"{from_micros(at):%Y-%m-%d %H:%M:%S} UTC"


def _json(told: Explained) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(told)

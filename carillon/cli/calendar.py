"""`carillon calendar`: what goes out in the next weeks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import json_option, now_option, opened, refuse, tell_json

if TYPE_CHECKING:  # imported when the command runs
    from carillon.foresight.calendar import Calendar


@click.command("calendar", epilog="Example: carillon calendar --weeks 6 --ics carillon.ics")
@click.option("--weeks", type=click.IntRange(1, 26), default=4, show_default=True, help="How far to look.")
@click.option("--ics", "ics_file", type=click.Path(path_type=Path, dir_okay=False), help="Write an iCalendar file.")
@click.option("--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write one page.")
@now_option
@json_option
def calendar(weeks: int, ics_file: Path | None, html_file: Path | None, now: str | None, as_json: bool) -> None:
    """Show what the applied campaigns will send, when, and to how many as things stand. Writes nothing to the store."""
    from carillon.foresight.calendar import calendar as look
    from carillon.kernel.clock import DAY
    from carillon.reports.agenda import agenda, ics
    from carillon.store.zones import ready_for_zones

    with opened() as house:
        ready_for_zones(house.store)
        at = house.instant(now)
        try:
            found = look(house.store, at, at + weeks * 7 * DAY)
        except LookupError as error:
            refuse(str(error.args[0]))
    for file, content in ((ics_file, ics), (html_file, agenda)):
        if file is not None:
            made = content(found)
            file.write_bytes(made if isinstance(made, bytes) else made.encode())
            click.echo(f"wrote {file}", err=True)
    if as_json:
        from dataclasses import asdict

        tell_json(asdict(found))
    elif ics_file is None and html_file is None:
        for line in _lines(found):
            click.echo(line)


def _lines(found: Calendar) -> Iterator[str]:
    from carillon.kernel.clock import from_micros
    from carillon.kernel.time.zones import zone
    from carillon.reports.agenda import a_day, days_of, people

    clock = zone(found.timezone)
    yield f"Clock times of {found.timezone}; “about” is the audience as it is today"
    for day in days_of(found):
        if day.planned:
            yield ""
            yield f"{day.date:%a %d %b %Y}"
        for one in day.planned:
            at = from_micros(one.at).astimezone(clock)
            yield f"  {at:%H:%M}  {one.campaign}: {people(one)} · {one.what}"
    if not found.planned:
        yield ""
        yield "Nothing is planned."
    for usual in found.steady:
        yield ""
        yield f"{usual.campaign}: {usual.what}: {a_day(usual)}"

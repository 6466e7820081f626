"""`carillon preview`: every message as people would read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carillon.cli.check import workspace_option
from carillon.cli.opened import Opened, json_option, now_option, opened, refuse, tell_json
from carillon.kernel.counting import counted

if TYPE_CHECKING:  # imported when the command runs
    from carillon.foresight.draft import Draft
    from carillon.foresight.preview import Preview, Shown


@click.command("preview", epilog="Example: carillon preview spring_sale --all --html preview.html")
@click.argument("campaign")
@click.option("--all", "everything", is_flag=True, help="Every variant and language, not the first of each message.")
@click.option("--contact", metavar="ID", help="With the values of this contact (the shop's id).")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write a gallery: inbox line, desktop, phone, dark, pictures off, the longest name, no name.",
)  # fmt: skip
@workspace_option
@now_option
@json_option
def preview(
    campaign: str,
    everything: bool,
    contact: str | None,
    html_file: Path | None,
    folder: Path,
    now: str | None,
    as_json: bool,
) -> None:
    """Show the messages of CAMPAIGN from its files, with real values. Sends nothing, writes nothing to the store."""
    with opened(folder) as house:
        draft, found = messages_of(house, campaign, contact, now)
    found = found if everything or html_file else _first_of_each(found)
    if html_file is not None:
        from carillon.reports.gallery import gallery

        note = "with the values of " + (contact or "a real contact of each language, if there is one")
        html_file.write_text(gallery(draft.plan.title, found, note), encoding="utf-8")
        click.echo(f"wrote {html_file}: {counted(len(found), 'message')}", err=True)
    if as_json:
        from dataclasses import asdict

        tell_json([asdict(one) for one in found])
    elif html_file is None:
        for line in _lines(found):
            click.echo(line)


def messages_of(house: Opened, campaign: str, contact: str | None, now: str | None) -> tuple[Draft, list[Preview]]:
    """A campaign of the files with all its messages as people would read them; ends the command where it has errors."""
    from carillon.foresight.draft import draft_of
    from carillon.foresight.preview import previews
    from carillon.store.zones import ready_for_zones

    house.campaigns([campaign])
    ready_for_zones(house.store)
    draft = draft_of(house.loaded, campaign)
    if draft.errors:
        refuse("\n".join(f"{p.position}  {p.message}" for p in draft.errors))
    try:
        with house.store.read() as connection:
            return draft, list(previews(connection, draft, house.instant(now), contact))
    except LookupError as error:
        refuse(str(error.args[0]))


def _first_of_each(found: Sequence[Preview]) -> list[Preview]:
    first: dict[str, Preview] = {}
    for one in found:
        first.setdefault(one.step_id, one)
    return list(first.values())


def _lines(found: Sequence[Preview]) -> Iterator[str]:
    for one in found:
        yield f"── {one.step_id}{f' · {one.arm}' if one.arm else ''} · {one.language} · {one.channel} from {one.sender or '?'}"
        for shown in one.shown:
            yield f"   {shown.reader + ':':<14} {_first_line(shown)}"
        readable = next((shown for shown in one.shown if shown.withheld is None), None)
        if readable is not None:
            yield ""
            yield from (f"   {line}" for line in readable.text.strip().splitlines())
        yield ""
    if not found:
        yield "This campaign sends no message."


def _first_line(shown: Shown) -> str:
    if shown.withheld is not None:
        return f"gets nothing: {shown.withheld}"
    if shown.segments is not None:
        n = shown.segments.count
        return f"{shown.segments.units} characters in {shown.segments.alphabet}, {counted(n, 'segment')}"
    return f"{shown.subject} — {shown.inbox_line[:60]}"

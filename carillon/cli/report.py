"""`carillon report`: how a campaign went, as text, JSON or one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from carillon.cli.opened import json_option, now_option, opened, refuse, tell_json


@click.command("report", epilog="Example: carillon report spring_sale --html report.html")
@click.argument("campaign")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write one page with charts."
)
@now_option
@json_option
def report(campaign: str, html_file: Path | None, now: str | None, as_json: bool) -> None:
    """Show what was sent, what it brought, what the test says, and what to do now."""
    from carillon.journey.ground import load_ground
    from carillon.reports.build import build_report

    with opened() as house:
        try:
            ground = load_ground(house.store, campaign, house.instant(now))
        except LookupError as error:
            refuse(str(error.args[0]))
        with house.store.read() as connection:
            built = build_report(connection, ground)
    if html_file is not None:
        from carillon.reports.page import page

        html_file.write_text(page(built), encoding="utf-8")
        click.echo(f"wrote {html_file}", err=True)
    if as_json:
        from dataclasses import asdict

        tell_json(asdict(built))
    elif html_file is None:
        from rich.console import Console

        from carillon.reports.terminal import show

        show(Console(highlight=False), built)

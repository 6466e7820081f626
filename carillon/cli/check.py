"""`carillon check`: every problem of a workspace at its place."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from carillon.definition.proved import check_workspace
from carillon.kernel.counting import counted
from carillon.kernel.problems import Problem, render

workspace_option = click.option(
    "--workspace",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Path(os.environ.get("CARILLON_WORKSPACE", "campaigns")),
    show_default="campaigns",
    help="The folder with workspace.yaml.",
)


@click.command("check")
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="Problems as JSON.")
@click.option("--no-cache", is_flag=True, help="Read every file again.")
def check(folder: Path, as_json: bool, no_cache: bool) -> None:
    """Check all YAML of the workspace and name every problem; exit 1 where there are errors."""
    proofs = None if no_cache else Path(".carillon") / "proved.json"
    checked = check_workspace(folder, env=os.environ.get("CARILLON_ENV"), proofs=proofs)
    errors = [problem for problem in checked.problems if problem.severity == "error"]
    if as_json:
        found = [problem.as_json() for problem in checked.problems]
        click.echo(json.dumps({"campaigns": checked.campaigns, "problems": found}, ensure_ascii=False, indent=2))
    else:
        if checked.problems:
            click.echo(render(checked.problems, checked.sources))
        click.echo(_summary(checked.problems, checked.campaigns))
    sys.exit(1 if errors else 0)


def _summary(problems: list[Problem], campaigns: list[str]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    said = [counted(errors, "problem")] if errors else []
    said += [counted(warnings, "warning")] if warnings else []
    if errors:
        return f"{', '.join(said)}. Nothing was applied."
    return f"{counted(len(campaigns), 'campaign')}: " + (f"{said[0]}." if said else "all good.")

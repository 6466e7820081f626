"""`carillon init` and `carillon new`: a workspace or a campaign to begin with."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import click

from carillon.cli.check import workspace_option
from carillon.definition.tree import read_tree
from carillon.kernel.problems import did_you_mean

HERE = Path(__file__).parent


def starter() -> Path:
    """The shipped campaigns: inside the package of a wheel, at the top of a checkout."""
    packed, checkout = HERE / "starter" / "campaigns", HERE.parent.parent / "campaigns"
    return packed if packed.is_dir() else checkout


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON.")
def init(folder: Path, as_json: bool) -> None:
    """Make a new workspace in FOLDER: campaigns/, a few contacts and the editor's settings. Overwrites nothing."""
    there = [folder / name for name in ("campaigns", "contacts.csv") if (folder / name).exists()]
    if there:
        click.echo(
            f"{there[0]} is there already; nothing was written. Take another folder: carillon init NAME", err=True
        )
        sys.exit(1)
    written = _write_workspace(folder)
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}))
        return
    for path in written:
        click.echo(f"wrote {path}")
    step_in = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"Next: {step_in}carillon check")


def _write_workspace(folder: Path) -> list[Path]:
    # imported late: `new` and `--help` need no models
    from carillon.cli.schema import write_schemas
    from carillon.definition.load import load_workspace

    campaigns = folder / "campaigns"
    shutil.copytree(starter(), campaigns, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    contacts = folder / "contacts.csv"
    shutil.copyfile(HERE / "first_contacts.csv", contacts)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text(".carillon/\n.schemas/\n", encoding="utf-8")
    write_schemas(campaigns, load_workspace(campaigns))
    return [campaigns, contacts, campaigns / ".schemas", folder / ".vscode" / "settings.json"]


_FRESH = """\
# yaml-language-server: $schema=../.schemas/campaign.json
title: {title}
topic: {topic}
state: draft
audience: everyone
entry: {{at: 2030-01-01 09:00}}
journey:
  - email: first
"""
_WORDS = "subject: A line that makes people look\npreheader: A line that says what is inside\n"
_TEXT = """\
{{ t.greeting | default: "Hello" }},

write what you have to say here.

Unsubscribe: {{ links.unsubscribe }}
"""


@click.command("new")
@click.argument("name")
@click.option("--from", "source", metavar="CAMPAIGN", help="Begin with a copy of this campaign.")
@workspace_option
def new(name: str, source: str | None, folder: Path) -> None:
    """Make the campaign NAME, as a draft or as a copy of another one."""
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
        _refuse(f'"{name}" is not a name: small letters, digits and _, beginning with a letter')
    tree = read_tree(folder)
    target = folder / name
    if not (folder / "workspace.yaml").is_file():
        _refuse(f"{folder} holds no workspace.yaml: carillon init makes a workspace")
    if target.exists():
        _refuse(f"{target} is there already; nothing was written")
    if source is not None and source not in tree.campaigns():
        _refuse(f'no campaign "{source}"; {did_you_mean(source, tree.campaigns())}')
    if source is not None:
        shutil.copytree(folder / source, target)
    else:
        _write_fresh(target, name, _first_topic(folder))
    click.echo(f"wrote {target}\nNext: edit {target / 'campaign.yaml'}, then carillon check")


def _refuse(why: str) -> None:
    click.echo(why, err=True)
    sys.exit(1)


def _first_topic(folder: Path) -> str:
    from carillon.definition.load import load_workspace

    topics = load_workspace(folder).workspace.topics
    return next((name for name, topic in topics.items() if topic.kind == "marketing"), next(iter(topics), "offers"))


def _write_fresh(target: Path, name: str, topic: str) -> None:
    (target / "messages").mkdir(parents=True)
    title = name.replace("_", " ").capitalize()
    (target / "campaign.yaml").write_text(_FRESH.format(title=title, topic=topic), encoding="utf-8")
    (target / "messages" / "first.yaml").write_text(_WORDS, encoding="utf-8")
    (target / "messages" / "first.txt").write_text(_TEXT, encoding="utf-8")

"""`carillon schema`: what an editor needs to complete the language with this workspace's own names."""

from __future__ import annotations

import json
from pathlib import Path

import click

from carillon.cli.check import workspace_option
from carillon.definition.load import Loaded, load_workspace
from carillon.definition.schema import FILES, schemas


@click.command("schema")
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="The written files as JSON.")
def schema(folder: Path, as_json: bool) -> None:
    """Write .schemas/ and, where there is none, the editor's settings that use it."""
    written = write_schemas(folder, load_workspace(folder))
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}))
    else:
        click.echo("\n".join(f"wrote {path}" for path in written))


def write_schemas(folder: Path, loaded: Loaded) -> list[Path]:
    """The schemas below the workspace, and .vscode/settings.json beside it unless there is one; what was written."""
    written = []
    (folder / ".schemas").mkdir(parents=True, exist_ok=True)
    for name, content in schemas(loaded).items():
        path = folder / ".schemas" / name
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        written.append(path)
    settings = folder.parent / ".vscode" / "settings.json"
    if not settings.exists():
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(json.dumps(_settings(folder.name), indent=2) + "\n", encoding="utf-8")
        written.append(settings)
    return written


def _settings(folder: str) -> dict[str, object]:
    uses = {f"./{folder}/.schemas/{name}": [f"{folder}/{glob}" for glob in globs] for name, (_, globs) in FILES.items()}
    return {"yaml.schemas": uses, "yaml.validate": True, "yaml.completion": True, "files.encoding": "utf8"}

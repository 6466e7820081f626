"""`carillon`: a group whose commands are imported only when they are called, so that `check` and `--help` stay light."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from carillon.kernel.collecting import collect_rarely

COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("init", "init", "Make a new workspace."),
    "new": ("init", "new", "Make a new campaign."),
    "check": ("check", "check", "Check all YAML and name every problem."),
    "plan": ("plan", "plan", "Show who gets what, when and at what cost; write nothing."),
    "preview": ("preview", "preview", "Show every message as people would read it."),
    "proof": ("proof", "proof", "Send every message to our own addresses, by the real provider."),
    "apply": ("plan", "apply", "Make campaigns as written the live ones."),
    "run": ("run", "run", "Advance campaigns to now, in the foreground."),
    "report": ("report", "report", "Show how a campaign went: numbers, test, money."),
    "status": ("status", "status", "Show how all campaigns stand; check that the ledger adds up."),
    "calendar": ("calendar", "calendar", "Show what goes out in the next weeks, and to how many."),
    "explain": ("explain", "explain", "Show why a contact got something from a campaign, or nothing."),
    "pause": ("operate", "pause", "Hand nothing over until resume; outlives every apply."),
    "resume": ("operate", "resume", "Let paused or stopped campaigns run again."),
    "stop": ("operate", "stop", "End campaigns for everybody under way."),
    "approve": ("operate", "approve", "Say yes to a campaign as applied; clears what held it."),
    "enter": ("operate", "enter", "Take one contact into a campaign."),
    "demo": ("demo", "demo", "See everything once: a shop, a test, a report; no account needed."),
    "up": ("up", "up", "Start everything on this machine."),
    "import": ("import_", "import_group", "Bring contacts, events, consents, suppressions in."),
    "data": ("import_", "data", "Suggest data.yaml from what has been imported."),
    "segment": ("segment", "segment", "Count a segment, or show who is in it."),
    "consent": ("consent", "consent", "Show a contact's consents, or withdraw one."),
    "unsure": ("unsure", "unsure", "List hand-overs that may or may not have left, and settle them."),
    "doctor": ("doctor", "doctor", "Check keys, webhooks, clock, versions, store and deployments."),
    "backup": ("keep", "backup", "Write one archive of the store while everything runs."),
    "restore": ("keep", "restore", "Put a backup in the store's place; hold everything until a person looked."),
    "upgrade": ("keep", "upgrade", "Bring the store to this version's layout, with runs paused."),
    "schema": ("schema", "schema", "Write JSON Schemas with this workspace's names, for editors."),
    "web": ("web", "web", "Serve public pages, webhooks and the events API."),
    "sandbox": ("sandbox", "sandbox", "Run SendGrid's and Twilio's doubles with an inbox."),
}
"""Command → its module below `carillon.cli`, its name there, and its line of help."""

OUTSIDE_FAULT = 3


class LazyGroup(click.Group):
    """Commands by name; the module of a command is imported when it is called, never for the list."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"carillon.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """The command; a store that fails under it (cut off, full, too new) is an outside fault, told in one line."""
        collect_rarely()
        try:
            return super().invoke(ctx)
        except Exception as error:
            if _is_too_new(error):
                click.echo(str(error), err=True)
            elif _is_of_the_store(error):
                says = f"The store failed: {_first_line(error)}. What has begun is settled by the next run."
                click.echo(says, err=True)
            else:
                raise
            ctx.exit(OUTSIDE_FAULT)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


def _is_of_the_store(error: Exception) -> bool:
    """Whether the database itself failed: SQLAlchemy is not imported to know it, where it is not loaded nothing is."""
    errors = sys.modules.get("sqlalchemy.exc")
    return errors is not None and isinstance(error, errors.OperationalError | errors.InterfaceError)


def _is_too_new(error: Exception) -> bool:
    migrate = sys.modules.get("carillon.store.migrate")
    return migrate is not None and isinstance(error, migrate.StoreTooNewError)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0].rstrip(".")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Marketing automation as code: campaigns in YAML, planned, tested and sent."""


if __name__ == "__main__":
    main()

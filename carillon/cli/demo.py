"""`carillon demo`: everything once, from nothing, without an account: a shop, a test of two subject lines, a report."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

OUTSIDE = ("CARILLON_", "PREFECT_", "SENDGRID_", "TWILIO_", "SMTP_")
"""Settings of a real workspace: the demo is a world of its own and must never touch that one."""


@click.command("demo", epilog="Example: carillon demo --data FOLDER   (with the real orders of Online Retail)")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True,
              help="Where the demo lives; made anew each time.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="The folder of the two Online Retail files (Parquet): real orders instead of generated ones.")  # fmt: skip
@click.option("--contacts", type=click.IntRange(200, 1_000_000), default=20_000, show_default=True,
              help="How many people the generated shop has.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another shop.")
def demo(folder: Path, data: Path | None, contacts: int, seed: int) -> None:
    """Make a workspace and a shop, run its sale through Prefect over virtual days, and show the report.

    Nothing leaves this machine: messages go to the sandbox, whose simulated people open, click, order and leave.
    """
    from carillon.cli.demo_phases import DemoError, run_demo

    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended on the way out
    try:
        run_demo(folder, data, contacts, seed)
    except DemoError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("\nStopped. Nothing is left running; the next `carillon demo` starts anew.", err=True)
        sys.exit(130)

"""`python -m tests.benchmarks [ROW…] [--small] [--json]`: a table, and `.bench/results.json` (`make bench`).

Every row runs in a process of its own. A must that is missed is shown, and is no error; a row that fails is one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import ROWS, Figure

RESULTS = Path(".bench/results.json")


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    asked.add_argument("rows", nargs="*", metavar="ROW", help=f"default: all. {', '.join(ROWS)}")
    asked.add_argument("--small", action="store_true", help="a tenth of each size, to try a row")
    asked.add_argument("--json", action="store_true", help="print the results as JSON")
    wanted = asked.parse_args()
    if unknown := sorted(set(wanted.rows) - ROWS.keys()):
        asked.error(f"no row {unknown[0]!r}; rows: {', '.join(ROWS)}")
    figures: list[Figure] = []
    failed: list[str] = []
    for row in wanted.rows or ROWS:
        print(f"{row} …", file=sys.stderr, flush=True)
        found = measured(row, wanted.small)
        figures += found
        failed += [] if found else [row]
        write(figures, failed, wanted.small)  # after each row: an interrupted bench keeps what it has
    print(RESULTS.read_text()) if wanted.json else show(figures, wanted.small)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def measured(row: str, is_small: bool) -> list[Figure]:
    """The row's figures, from a fresh process; none where it failed."""
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = [sys.executable, "-m", "tests.benchmarks.one", row, answer.name, *(["--small"] if is_small else [])]
        if subprocess.run(command, stdout=sys.stderr).returncode:
            return []
        return [Figure(**figure) for figure in json.loads(Path(answer.name).read_text())]


def write(figures: Sequence[Figure], failed: Sequence[str], is_small: bool) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()}
    rows = [asdict(figure) | {"is_met": figure.is_met} for figure in figures]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"at": at, "small": is_small, "machine": machine, "rows": rows, "failed": list(failed)}, indent=2)
    RESULTS.write_text(text + "\n")


def show(figures: Sequence[Figure], is_small: bool) -> None:
    table = Table(title="A tenth of the size: no measure of the musts" if is_small else None, box=None, pad_edge=False)
    for heading in ("what", "value", "must", "aim", "against", "CPU µs"):
        table.add_column(heading, justify="left" if heading in ("what", "against") else "right")
    for figure in figures:
        table.add_row(
            figure.name + (f" ({figure.note})" if figure.note else ""),
            f"[{_colour(figure)}]{_number(figure.value)} {figure.unit}[/]",
            _demand(figure),
            "" if figure.aim is None else _number(figure.aim),
            figure.against + ("" if figure.ratio is None else f": {figure.ratio:.1f}×"),
            "" if figure.cpu_us is None else _number(figure.cpu_us),
        )
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _demand(figure: Figure) -> str:
    asked = [] if figure.must is None else [_number(figure.must)]
    asked += [] if figure.must_ratio is None else [f"{figure.must_ratio:g}×"]
    return " and ".join(asked)


def _colour(figure: Figure) -> str:
    return {None: "default", True: "green", False: "red"}[figure.is_met]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()

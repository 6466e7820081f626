"""One row in a process of its own: `python -m tests.benchmarks.one ROW FILE [--small]` writes its figures into FILE."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.benchmarks.figures import ROWS, Measure
from tests.benchmarks.ground import Ground


def main(row: str, answer: str, *flags: str) -> None:
    measure: Measure = getattr(import_module(f"tests.benchmarks.{ROWS[row]}"), row)
    with tempfile.TemporaryDirectory(prefix="carillon-bench-", ignore_cleanup_errors=True) as folder:
        figures = [asdict(figure) for figure in measure(Ground(Path(folder), "--small" in flags))]
    Path(answer).write_text(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])

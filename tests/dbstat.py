"""How a SQLite file's pages are filled, asked in a process of its own.

The library that opens the store here is built without `dbstat`, and a second one in this process would drop its locks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_ASK = """\
import json, sqlite3, sys
print(json.dumps(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute(sys.argv[2]).fetchone()))
"""


def asked_of_pages(file: Path, query: str) -> list[Any]:
    """The first row of a query over `dbstat` and the file's tables."""
    answer = subprocess.run([sys.executable, "-c", _ASK, str(file), query], stdout=subprocess.PIPE, check=True)
    row: list[Any] = json.loads(answer.stdout)
    return row

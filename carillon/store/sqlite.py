"""The one SQLite library that opens a store's files: a current one, whatever the machine's Python came with.

Two of them in a process drop each other's file locks (POSIX locks belong to the process), so whoever opens a file of a
store does it through `driver`. Decision 0027 has the reason and the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3 as driver
else:
    try:
        import pysqlite3.dbapi2 as driver
    except ImportError:  # a machine for which there is no wheel
        import sqlite3 as driver

__all__ = ["driver"]

"""Questions that somebody else wrote, word for word and within a time: each store ends a statement in its own way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

_LOOKS_AT_THE_CLOCK_EVERY = 10_000
"""SQLite's own steps between two looks."""


@contextmanager
def at_most(connection: Connection, seconds: float) -> Iterator[None]:
    """Whatever is asked inside ends with an error after so long."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
        yield
        return
    end, raw = time.monotonic() + seconds, connection.connection.driver_connection
    assert raw is not None
    raw.set_progress_handler(lambda: time.monotonic() > end, _LOOKS_AT_THE_CLOCK_EVERY)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def rows_of_text(connection: Connection, query: str) -> sa.CursorResult[Any]:
    """The rows of a query exactly as written."""
    # psycopg reads a % as the beginning of a parameter.
    return connection.exec_driver_sql(query.replace("%", "%%") if connection.dialect.name == "postgresql" else query)

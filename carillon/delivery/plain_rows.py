"""Rows as the driver gives them: a `Row` object a person costs more than the query where rows come by the ten thousand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection


def plain_rows(
    connection: Connection, select: sa.Select[Any], parameters: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """All rows as tuples; for columns that both drivers give as stored: integers, text, NULL."""
    result = connection.execute(select, dict(parameters or {}))
    rows = list(result.cursor.fetchall())
    result.close()
    return rows

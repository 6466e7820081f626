"""Rows by the ten thousand, as plain sequences.

A `Row` object a person costs more than the query. And on SQLite each row is a step for which the driver lets go of the
interpreter's lock and queues for it again, behind whoever is rendering: so there all rows come as one JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection


def plain_rows(
    connection: Connection, select: sa.Select[Any], parameters: Mapping[str, Any] | None = None
) -> list[Sequence[Any]]:
    """All rows in the order of their first two columns, which are integers; the others are integers, text or NULL."""
    if connection.dialect.name == "sqlite":
        rows = select.subquery()
        packed = sa.select(sa.func.json_group_array(sa.func.json_array(*rows.c)))
        text = connection.execute(packed, dict(parameters or {})).scalar_one()
        found: list[Sequence[Any]] = orjson.loads(text)
    else:
        result = connection.execute(select, dict(parameters or {}))
        found = list(result.cursor.fetchall())
        result.close()
    found.sort(key=itemgetter(0, 1))
    return found

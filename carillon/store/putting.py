"""Rows into SQLite by its driver alone: whoever does that imports no SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

Row = Sequence[Any]

TOGETHER = 50
"""Rows that one statement puts into SQLite: alone, each costs twice the time, half of it for being a statement."""


def put(driver: Any, insert: str, width: int, rows: Iterable[Row]) -> int:
    """Rows of this width into SQLite; `insert` is the statement up to VALUES. Returns how many were inserted."""
    values, size = chain.from_iterable(rows), TOGETHER * width
    one = f"({', '.join('?' * width)})"
    rest = tuple(islice(values, size))
    n = 0

    def sets() -> Iterator[tuple[Any, ...]]:
        nonlocal rest
        while len(rest) == size:
            yield rest
            rest = tuple(islice(values, size))

    if len(rest) == size:
        n = driver.executemany(f"{insert} VALUES {', '.join([one] * TOGETHER)}", sets()).rowcount
    if rest:
        n += driver.executemany(f"{insert} VALUES {one}", zip(*[iter(rest)] * width, strict=True)).rowcount
    return int(n)

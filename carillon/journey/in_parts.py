"""A large audience on SQLite: one thread asks who is next while another writes those before them, each on a core of its own.

PostgreSQL asks and writes in one statement, in the server. A part is asked of the store as it was when the wave began to be
written or later: of each contact once.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.evaluate import where
from carillon.audience.moment import of_contact
from carillon.audience.select import present
from carillon.journey.everybody import everybody, these
from carillon.journey.ground import Ground
from carillon.store import tables as t
from carillon.store.packed import packed, unpacked

PART = 20_000
"""Contacts asked at a time; where there are no more than that, everybody is one part."""


def in_parts(connection: Connection, ground: Ground, arrived_at: sa.ColumnElement[Any]) -> Iterator[sa.Select[Any]]:
    """`everybody` as Selects of some of them each, in the transaction that takes them in."""
    newest = connection.scalar(sa.select(sa.func.max(t.contact.c.id))) or 0
    if not ground.store.runs_here or ground.applied.plan.top is not None or newest <= PART:
        yield everybody(ground, arrived_at)
        return
    with ThreadPoolExecutor(1, "audience") as reader:
        coming = reader.submit(_asked, ground, 0)
        for last in range(PART, newest, PART):
            ids = coming.result()
            coming = reader.submit(_asked, ground, last)
            yield these(ids, arrived_at)
        yield these(coming.result(), arrived_at)


def _asked(ground: Ground, last: int) -> list[int]:
    """Who of the contacts behind this id, a part of them, matches the audience, by id."""
    c = t.contact.c
    matching = where(ground.applied.plan.audience, of_contact(), ground.moment)
    part = sa.select(packed(c.id, c.id)).where(*present(), matching, c.id > last, c.id <= last + PART)
    with ground.store.read() as connection:
        # By whichever index they were found.
        return sorted(int(one) for one in unpacked(connection.scalar(part)))

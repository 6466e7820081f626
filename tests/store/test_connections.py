"""Whose turn a connection is, and what it may do in it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from carillon.store import tables as t
from carillon.store.engine import Store

SETTING = t.setting.insert().values(name="here", value="1")


def test_whoever_reads_can_write_nothing_and_the_next_one_can(store: Store) -> None:
    """A connection that was let to read comes back as one that may write."""
    with pytest.raises(DBAPIError), store.read() as connection:
        connection.execute(SETTING)
    with store.write("core") as connection:
        connection.execute(SETTING)
    with store.read() as connection:
        assert connection.scalar(sa.select(t.setting.c.value).where(t.setting.c.name == "here")) == "1"


@pytest.mark.postgres
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_the_connection_that_worked_last_works_next(store: Store) -> None:
    """Statements stay planned in few: of several that were busy at once one alone serves whoever comes one by one."""
    me = sa.select(sa.func.pg_backend_pid())
    with store.read() as one, store.read() as other, store.read() as third:
        assert len({connection.scalar(me) for connection in (one, other, third)}) == 3
    served = set()
    for _ in range(6):
        with store.read() as connection:
            served.add(connection.scalar(me))
    assert len(served) == 1

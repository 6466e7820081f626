"""Rows that may stand already, on both stores."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.store import tables as t
from carillon.store.engine import rowcount
from carillon.store.writing import put_row


def test_a_row_is_made_then_overwritten(store):
    """The same key stands once, with the newest values."""
    with store.write("core") as connection:
        won = [put_row(connection, t.setting, {"name": "colour"}, {"value": value}) for value in ("red", "blue")]
        rows = connection.execute(sa.select(t.setting.c.name, t.setting.c.value)).all()
    assert won == [1, 1]
    assert [tuple(row) for row in rows if row.name == "colour"] == [("colour", "blue")]


def test_a_row_that_may_not_be_overwritten_is_left_alone_and_said_so(store):
    """Two want one lease: the second is told that it did not get it, in the same statement."""
    lease = t.lease.c
    with store.write("ledger") as connection:
        first = put_row(connection, t.lease, {"name": "spring"}, {"holder": "ada", "until": 10})
        other = {"holder": "bob", "until": 99}
        second = put_row(connection, t.lease, {"name": "spring"}, other, only_over=lease.until <= 9)
        third = put_row(connection, t.lease, {"name": "spring"}, other, only_over=lease.until <= 10)
        holder = connection.scalar(sa.select(lease.holder))
    assert (first, second, third, holder) == (1, 0, 1, "bob")


def test_a_row_that_may_stand_already_is_compiled_once_and_has_its_own_values_each_time(store):
    """Overwriting a lease is one statement for all holders and instants."""
    lease, compiled = t.lease.c, {}
    with store.write("ledger") as connection:
        connection = connection.execution_options(compiled_cache=compiled)
        for holder, until in (("ada", 10), ("bob", 20), ("cid", 30)):
            said = {"holder": holder, "until": until}
            assert put_row(connection, t.lease, {"name": "spring"}, said, only_over=lease.until <= until - 10) == 1
        assert (
            put_row(
                connection, t.lease, {"name": "spring"}, {"holder": "dan", "until": 35}, only_over=lease.until <= 25
            )
            == 0
        )
        assert len(compiled) == 1
        assert connection.execute(sa.select(lease.holder, lease.until)).all() == [("cid", 30)]


def test_rows_inserted_from_a_select_are_counted(store):
    """Who entered is counted by the statement that let them in."""
    names = sa.union_all(*(sa.select(sa.literal(name).label("name"), sa.literal("x").label("value")) for name in "abc"))
    with store.write("core") as connection:
        result = connection.execute(t.setting.insert().from_select(["name", "value"], names))
        assert rowcount(result) == 3

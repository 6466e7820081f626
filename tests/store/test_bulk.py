"""Bulk writes count what they won."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.store import tables as t
from carillon.store.bulk import insert_rows, insert_select, many, many_rows, reserve_ids, update_rows
from carillon.store.engine import Store
from carillon.store.putting import TOGETHER
from carillon.store.staging import fill, stage

KEY = ("intake_id", "occurred_at", "hash64")


def test_conflicting_rows_are_left_out_and_not_counted(store: Store) -> None:
    """A repeated key is one row, whether it stood there or comes twice in one call."""
    with store.write("events") as connection:
        assert insert_rows(connection, t.arrival, KEY, [(1, 1, 1), (1, 2, 1)]) == 2
        again = [(1, 1, 1), (1, 3, 1), (1, 3, 1)]
        assert insert_rows(connection, t.arrival, KEY, again, ignore_conflicts=True) == 1
        assert insert_rows(connection, t.arrival, KEY, []) == 0
    with store.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(t.arrival)).scalar_one() == 3


@pytest.mark.parametrize("n", [0, 1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER, 3 * TOGETHER + 7])
def test_any_number_of_rows_goes_in_in_order(store: Store, n: int) -> None:
    """Neither where a statement's rows end nor behind it is one lost, counted twice, or another one's neighbour."""
    rows = [(1, k, -k) for k in range(n)]
    with store.write("events") as connection:
        stage(connection, "handful", "a BIGINT, b BIGINT, c BIGINT")
        fill(connection, "handful", ("a", "b", "c"), iter(rows))
        kept = connection.exec_driver_sql("SELECT a, b, c FROM handful ORDER BY b").all()
        assert list(map(tuple, kept)) == rows
        assert insert_rows(connection, t.arrival, KEY, rows) == n
        again = [*rows, (2, 1, 1), *rows]
        assert insert_rows(connection, t.arrival, KEY, again, ignore_conflicts=True) == 1


def test_updates_find_rows_by_key(store: Store) -> None:
    """Rows that are not there are not made."""
    with store.write("events") as connection:
        insert_rows(connection, t.intake, ("id", "received_at", "source", "n"), [(1, 5, "a", 0), (2, 5, "b", 0)])
        assert update_rows(connection, t.intake, ("id",), ("n", "state"), [(2, 7, "folded"), (9, 1, "folded")]) == 1
        rows = connection.execute(sa.select(t.intake.c.id, t.intake.c.n, t.intake.c.state).order_by("id")).all()
    assert [tuple(row) for row in rows] == [(1, 0, "new"), (2, 7, "folded")]


def test_many_values_are_one_parameter(store: Store) -> None:
    """Ten thousand ids and texts pass where SQLite would stop at 32,766 marks."""
    with store.write("events") as connection:
        insert_rows(connection, t.arrival, KEY, [(n, 1, 1) for n in range(50_000)])
        wanted = sa.select(sa.func.count()).where(t.arrival.c.intake_id.in_(many(range(40_000, 60_000))))
        assert connection.execute(wanted).scalar_one() == 10_000
        words = many_rows(["a", "ü", 'quo"te'], str)
        assert connection.execute(sa.select(words.c.value).order_by(words.c.value)).scalars().all()[0] == "a"
        assert connection.execute(sa.select(sa.func.count()).select_from(words)).scalar_one() == 3


def test_insert_select_copies_a_set(store: Store) -> None:
    """The second run finds all of it there."""
    select = sa.select(sa.literal(2), t.arrival.c.occurred_at, t.arrival.c.hash64).where(t.arrival.c.intake_id == 1)
    with store.write("events") as connection:
        insert_rows(connection, t.arrival, KEY, [(1, n, n) for n in range(5)])
        assert insert_select(connection, t.arrival, KEY, select) == 5
        assert insert_select(connection, t.arrival, KEY, select, ignore_conflicts=True) == 0


def test_reserved_ids_are_nobody_elses(store: Store) -> None:
    """Ids are dense, and the table's own numbering goes on behind them."""
    with store.write("events") as connection:
        ids = list(reserve_ids(connection, t.intake, 3))
        insert_rows(connection, t.intake, ("id", "received_at", "source"), [(n, 0, "x") for n in ids])
        own = connection.execute(t.intake.insert().values(received_at=1, source="y")).inserted_primary_key
    assert (ids, own and own[0]) == ([1, 2, 3], 4)

"""What a page of a table costs PostgreSQL's planner: as on a disk that does not turn, unless somebody chose a figure."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.store.engine import Store


def _cost(store: Store) -> str:
    with store.read() as connection:
        return connection.scalar(sa.text("SELECT current_setting('random_page_cost')"))


@pytest.mark.postgres
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_page_out_of_turn_costs_hardly_more_than_the_next_one_unless_the_server_was_told(store):
    """PostgreSQL's own figure, 4, is replaced; one that a database was given stands."""
    assert _cost(store) == "1.1"
    with store.write("core") as connection:
        name = connection.scalar(sa.text("SELECT current_database()"))
        connection.execute(sa.text(f'ALTER DATABASE "{name}" SET random_page_cost = 3'))
    told = Store(store.url)
    assert _cost(told) == "3"
    told.close()

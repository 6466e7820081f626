"""An event and its contact come at the same moment: whoever is first, the event finds its contact."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.feedback.adopt import adopt_orphans
from carillon.people.ingest import ADOPTION, ArrivedEvent, ingest_events, write_events
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.writing import take_turn
from tests.shop import Shop

ORDER = ArrivedEvent(1_000_000, 1, "order_completed", "ada", 500, "{}")
A_MOMENT_S = 0.3
"""Long enough for a thread to come to the lock that it waits for."""


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


def orphans(store: Store) -> int:
    with store.read() as connection:
        n = sa.select(sa.func.count()).select_from(t.event).where(t.event.c.contact_id.is_(None))
        return int(connection.scalar(n) or 0)


def test_an_adoption_waits_for_orphans_that_are_being_written(shop: Shop) -> None:
    """The event was read as an orphan's and is not committed yet when its contact comes and is looked through."""
    adopting = threading.Thread(target=lambda: adopt_orphans(shop.store, 2_000_000))
    with shop.store.write("events") as connection:
        write_events(connection, [ORDER], source="test", history=False, received_at=1)
        shop.contact("ada")
        adopting.start()
        adopting.join(A_MOMENT_S)
        assert adopting.is_alive()
    adopting.join(20)
    assert orphans(shop.store) == 0


def test_who_waited_to_write_an_event_sees_the_contact_that_came_meanwhile(shop: Shop) -> None:
    """The intake waits for another writer; the contact that is there when its turn comes is found."""
    ingest = threading.Thread(
        target=lambda: ingest_events(shop.store, [ORDER], source="test", history=False, received_at=1)
    )
    with shop.store.write("events") as connection:
        if shop.store.dialect == "postgresql":
            take_turn(connection, ADOPTION)  # on SQLite the part has one writer at a time anyway
        ingest.start()
        time.sleep(A_MOMENT_S)
        shop.contact("ada")
    ingest.join(20)
    assert not ingest.is_alive()
    assert orphans(shop.store) == 0

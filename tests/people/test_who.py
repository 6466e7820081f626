"""Who is who, remembered between commits: the same rows as by joining, and never what has changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.people import sent as sending
from carillon.people import who
from carillon.people.ingest import ArrivedEvent, IngestResult, ingest_events, ingest_sent
from carillon.people.sent import Sent, Staging
from carillon.people.who import Known, number_contacts, remember
from carillon.store import tables as t
from carillon.store.engine import Store

EVENTS = st.builds(
    ArrivedEvent, st.integers(1, 4), st.integers(1, 3), st.sampled_from(["bought", "seen"]), st.sampled_from(["a", "b", "was_b", "nobody"]),
    st.sampled_from([None, 7]), st.sampled_from(["{}", '{"total":7}']), st.sampled_from([None, None, "USD"]),
)  # fmt: skip
COMMITS = st.lists(st.lists(EVENTS, min_size=1, max_size=7), min_size=1, max_size=3)


def contact(store: Store, number: int, shop_id: str, merged_into: int | None = None) -> None:
    row = {
        "id": number,
        "shop_id": shop_id,
        "zone": "UTC",
        "zone_source": "workspace",
        "h31": 0,
        "created_at": 0,
        "attrs": {},
    }
    with store.write("core") as connection:
        connection.execute(t.contact.insert().values(row | {"merged_into": merged_into}))


def written(store: Store, commits: list[list[ArrivedEvent]]) -> Iterator[IngestResult]:
    for events in commits:
        yield ingest_events(store, events, source="file", history=True, received_at=1)


def staged(commits: list[list[ArrivedEvent]], known: Known | None) -> list[Sent]:
    """The commits as they come from the process that reads a file: staged there, three events at a time."""
    staging, sent = Staging(None, known.unmerged if known else {}), []
    for events in commits:
        for k in range(0, len(events), 3):
            staging.add(events[k : k + 3])
        one = staging.taken()
        one.known = known
        sent.append(one)
    return sent


def written_as_sent(store: Store, commits: list[list[ArrivedEvent]], knows: bool = False) -> Iterator[IngestResult]:
    numbered: list[str] = []
    for one in staged(commits, everybody(store) if knows else None):
        numbered = [] if one.is_numbered_anew else numbered
        one.received(numbered, one.database)
        yield ingest_sent(store, one, source="file", history=True, received_at=1)


def written_as_sent_by_our_numbers(store: Store, commits: list[list[ArrivedEvent]]) -> Iterator[IngestResult]:
    return written_as_sent(store, commits, knows=True)


def everybody(store: Store) -> Known:
    with store.draft("events") as draft, draft.reading() as connection:
        return remember(connection, 100)


WAYS = (written, written_as_sent, written_as_sent_by_our_numbers)


def kept(store: Store) -> list[list[Any]]:
    with store.read() as connection:
        return [
            sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in (t.event, t.contact_event, t.arrival, t.intake)
        ]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COMMITS)
def test_remembering_gives_the_rows_that_joining_gives(sqlite_store: Store, commits: list[list[ArrivedEvent]]) -> None:
    """Known, merged and unknown people, repeated events, one kind and several, with and without currency."""
    with sqlite_store.read() as connection:
        is_new = connection.scalar(sa.select(sa.func.count()).select_from(t.contact)) == 0
    for number, shop_id, into in ((1, "a", None), (2, "b", None), (3, "was_b", 2)) if is_new else ():
        contact(sqlite_store, number, shop_id, into)
    found = []
    for way, worth_it, most in ((written, 1, 0), (written, 10_000, 0), *product(WAYS[1:], (10_000,), (100, 1))):
        with sqlite_store.write("events") as connection:
            for table in (t.event, t.contact_event, t.arrival, t.intake):
                connection.execute(table.delete())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(who, "WORTH_IT", worth_it)
            patch.setattr(sending, "MOST_NUMBERED", most)
            found.append((list(way(sqlite_store, commits)), kept(sqlite_store)))
    assert all(one == found[0] for one in found)
    with sqlite_store.read() as connection:
        keys = [
            connection.execute(
                sa.select(table.c.contact_id, table.c.occurred_at, table.c.hash64)
                .where(table.c.contact_id.is_not(None))
                .order_by(table.c.contact_id, table.c.occurred_at, table.c.hash64)
            ).all()
            for table in (t.event, t.contact_event)
        ]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("way", WAYS)
def test_what_was_remembered_is_asked_again_when_contacts_change(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, way: Any
) -> None:
    """Between two commits of an import one customer is made known, another is merged; also of commits staged before."""
    monkeypatch.setattr(who, "WORTH_IT", 1)
    contact(sqlite_store, 1, "a")
    events = [
        ArrivedEvent(at, 1, "seen", shop_id, None, "{}") for at, shop_id in ((1, "a"), (2, "b"), (3, "a"), (4, "b"))
    ]
    commits = way(sqlite_store, [events[:2], events[2:]])
    assert next(commits).orphans == 1
    contact(sqlite_store, 2, "b")
    with sqlite_store.write("core") as connection:
        connection.execute(t.contact.update().where(t.contact.c.id == 1).values(merged_into=2))
    assert next(commits).orphans == 0
    with sqlite_store.read() as connection:
        assert connection.scalars(sa.select(t.event.c.contact_id).order_by(t.event.c.occurred_at)).all() == [
            1,
            None,
            2,
            2,
        ]


def test_numbers_are_ours_only_while_core_stands_still(sqlite_store: Store) -> None:
    """Whom they stand for need not be looked up at first; after any change of a contact all of them are, by the shop's id."""
    contact(sqlite_store, 7, "a")
    (sent,) = staged(
        [[ArrivedEvent(1, 1, "seen", shop_id, None, "{}") for shop_id in ("a", "b")]], everybody(sqlite_store)
    )
    who_rows = sa.text("SELECT number, contact_id, shop_id FROM temp.who ORDER BY number")

    def told() -> tuple[Any, list[Any]]:
        with sqlite_store.draft("events") as draft, draft.reading() as connection:
            return number_contacts(connection, sent), [tuple(row) for row in connection.execute(who_rows)]

    assert told() == ((True, True), [(-1, None, "b")])
    contact(sqlite_store, 8, "b")
    assert told() == ((False, False), [(-1, 8, None), (7, 7, None)])

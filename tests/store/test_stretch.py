"""People who lie close together are read as a stretch of the tables on PostgreSQL: the same people, the same answers."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.delivery.claim import _digest
from carillon.delivery.columns import fetch_columns
from carillon.delivery.model import Needs
from carillon.kernel.channels import Channel
from carillon.store import stretch
from carillon.store import tables as t
from tests.delivery.ground import seed

PEOPLE, EACH = 900, 300


def _batches(store):
    """One batch of neighbours, one whose people are strewn over everybody, and one of few."""
    close, strewn, few = seed(store, PEOPLE, size=EACH)
    s = t.send.c
    with store.write("ledger") as connection:
        move = sa.update(t.send).where(s.batch_id == strewn, s.enrolment_id % 2 == 0)
        connection.execute(move.values(contact_id=s.contact_id + PEOPLE * 1_000))
        connection.execute(sa.update(t.send).where(s.batch_id == few, s.enrolment_id > 610).values(outcome="exited"))
    with store.write("core") as connection:
        far = [c for c in t.contact.c if c.name != "id"]
        values = {"shop_id": sa.literal("far") + t.contact.c.shop_id}
        rows = sa.select(t.contact.c.id + PEOPLE * 1_000, *(values.get(c.name, c) for c in far)).where(
            t.contact.c.id.between(EACH + 1, 2 * EACH)
        )
        connection.execute(t.contact.insert().from_select(["id", *(c.name for c in far)], rows))
    return close, strewn, few


def test_columns_are_the_same_however_people_lie(store):
    """A batch of neighbours, a strewn one and a small one: each has its own people, in order."""
    close, strewn, few = _batches(store)
    with store.read() as connection:
        columns = fetch_columns(connection, Channel.EMAIL, [few, strewn, close], ["contact.id", "contact.first_name"])
    assert {batch_id: list(its.enrolments) for batch_id, its in columns.items()} == {
        close: list(range(1, 301)), strewn: list(range(301, 601)), few: list(range(601, 611)),
    }  # fmt: skip
    assert list(columns[close].addresses) == [f"c{i}@shop.example" for i in range(1, 301)]
    assert list(columns[strewn].values["contact.id"]) == [f"{'' if i % 2 else 'far'}c{i}" for i in range(301, 601)]
    assert list(columns[few].values["contact.first_name"]) == [f"N{i % 50}" for i in range(601, 611)]


def test_only_neighbours_are_a_stretch(store):
    """It begins and ends with them; who is strewn, and who are few, are looked up."""
    close, strewn, few = _batches(store)
    with store.read() as connection:
        [found] = stretch._stretches(connection, [close, strewn, few])
    ends = {"first_contact": 1, "last_contact": 300, "first_enrolment": 1, "last_enrolment": 300}
    assert (found.batches, found.ends) == ([close], ends)


def test_neighbouring_batches_are_one_stretch_as_long_as_it_is_dense(store):
    """They are read by one statement, whatever the order in which they are named; one that lies far behind is alone."""
    first, second, far = seed(store, PEOPLE, size=EACH)
    with store.write("ledger") as connection:
        theirs = sa.update(t.send).where(t.send.c.batch_id == far)
        connection.execute(theirs.values(contact_id=t.send.c.contact_id + PEOPLE * 10))
    with store.read() as connection:
        both, alone = stretch._together(stretch._stretches(connection, [second, far, first]))
    ends = {"first_contact": 1, "last_contact": 600, "first_enrolment": 1, "last_enrolment": 600}
    assert (both.batches, both.ends, alone.batches) == ([first, second], ends, [far])


def test_columns_of_neighbours_are_each_batchs_own(store):
    """Read together, nobody is told to the other batch."""
    batches = seed(store, PEOPLE, size=EACH)
    with store.read() as connection:
        columns = fetch_columns(connection, Channel.EMAIL, batches, ["contact.id"])
    assert {batch_id: list(its.values["contact.id"]) for batch_id, its in columns.items()} == {
        batch_id: [f"c{i}" for i in range(1 + EACH * at, 1 + EACH * (at + 1))] for at, batch_id in enumerate(batches)
    }


def test_the_claim_sees_who_is_closed_whether_told_the_stretch_or_not(store):
    """Who left and who has no consent any more are named with their reason, in both spellings of the question."""
    close, *_ = _batches(store)
    with store.write("ledger") as connection:
        connection.execute(sa.update(t.enrolment).where(t.enrolment.c.id == 9).values(state="done", exit_code="bought"))
    with store.write("core") as connection:
        connection.execute(sa.update(t.standing).where(t.standing.c.contact_id == 12).values(allow_bits=0))
        connection.execute(sa.delete(t.standing).where(t.standing.c.contact_id == 30))
    needs = Needs("offers", "explicit")
    with store.read() as connection:
        [told] = stretch.by_stretch(connection, [close], lambda is_near: _digest(Channel.EMAIL, needs, is_near))
        [plain] = connection.execute(_digest(Channel.EMAIL, needs, False), {"ids": [close]})
    closed = ["9 exited", "12 skipped:no_consent", "30 skipped:no_consent"]
    assert told == plain
    assert (plain[1], plain[3].split("\x1f")) == (sum(range(1, 301)), closed)

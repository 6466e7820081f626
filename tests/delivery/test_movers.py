"""Who moves people of a campaign is alone with them: on PostgreSQL two would take the same rows in two orders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from carillon.delivery.reserve import reserve
from carillon.journey.enter import enter
from carillon.journey.exits import exits
from carillon.journey.ground import Ground, load_ground
from carillon.store import tables as t
from tests.conftest import StoreMaker
from tests.shop import Shop

PEOPLE = 40
LATE = """\
audience: everyone
entry: {at: 2026-11-02 22:00}
exit_on: [{contact: {tier: gold}}]
journey: [{email: sale}, {wait: 1d}]
"""


@pytest.fixture
def late(new_store: StoreMaker, tmp_path: object) -> Shop:
    """People who stand at a message in their quiet hours, the last of them due first; all have become gold since."""
    shop = Shop(new_store("postgresql"), tmp_path)  # type: ignore[arg-type]
    shop.workspace("limits: {quiet_hours: {email: 21:00-08:00}}\n")
    shop.campaign("late", LATE)
    names = shop.people(PEOPLE)
    shop.apply()
    shop.at("2026-11-02 23:30")
    enter(ground_of(shop))
    exits(ground_of(shop))  # nothing was heard of by now
    e = t.enrolment.c
    with shop.store.write("ledger") as connection:
        connection.execute(t.enrolment.update().values(due_at=e.due_at - e.id))
    for name in names:
        shop.change(name, tier="gold")
    sa.event.listen(shop.store.engine("ledger"), "begin", looks_up)
    return shop


def test_who_is_being_claimed_is_left_to_the_claim(late: Shop) -> None:
    """By what was ready a moment ago they would be written down as not written to, and their batch leaves."""
    late.at("2026-11-03 09:00")
    ground, b, s = ground_of(late), t.batch.c, t.send.c
    reserve([ground], max_people=dict.fromkeys(late.engine.max_people, PEOPLE // 2))
    with late.store.read() as connection:
        one, other = connection.scalars(sa.select(b.id).order_by(b.id)).all()
    with late.store.write("ledger") as claim:
        claim.execute(t.batch.update().where(b.id == one).values(state="claimed"))
        assert exits(ground) == {"tier": PEOPLE}
    with late.store.read() as connection:
        rows = connection.execute(sa.select(s.batch_id, sa.func.max(s.outcome)).group_by(s.batch_id)).tuples()
        assert dict(rows.all()) == {one: None, other: "exited"}


def looks_up(connection: sa.Connection) -> None:
    """As for a few thousand among a million: each looked up, in the order in which they were found."""
    for way in ("hashjoin", "mergejoin", "seqscan"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")


def ground_of(shop: Shop) -> Ground:
    return load_ground(shop.store, "late", shop.clock.now())


@contextmanager
def held(shop: Shop) -> Iterator[None]:
    """Whoever wants one in the middle of them waits until the block ends."""
    middle = sa.select(t.enrolment.c.id).where(t.enrolment.c.id == PEOPLE // 2).with_for_update()
    with shop.store.write("ledger") as connection:
        connection.execute(middle)
        yield


def waiting(shop: Shop, so_many: int) -> None:
    """Until so many connections wait for a lock."""
    for _ in range(500):
        with shop.store.read() as connection:
            asked = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if connection.exec_driver_sql(asked).scalar_one() >= so_many:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_who_exits_while_others_are_put_off_fails_neither(late: Shop) -> None:
    """One takes the people from the first, the other from the last: they would wait for each other in the middle."""
    ground = ground_of(late)
    with ThreadPoolExecutor(2) as threads:
        with held(late):
            gone = threads.submit(exits, ground)
            waiting(late, 1)
            decided = threads.submit(reserve, [ground], max_people=late.engine.max_people)
            waiting(late, 2)
        assert gone.result() == {"tier": PEOPLE}
        assert [sum(one.waiting.values()) for one in decided.result()["late"]] == [PEOPLE]
    assert set(late.enrolments.values()) == {"tier"}
    assert late.due("p0001") is None
    assert late.violations() == []

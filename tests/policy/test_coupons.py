"""Coupons: no code is two people's, and what becomes of a code follows from what became of its message."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.columns import fetch_columns
from carillon.delivery.turns import take_pass
from carillon.kernel.channels import Channel
from carillon.policy.coupons import Added, add_codes, coded, set_aside, settle_codes, stock_of
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.shop import Interrupted, Shop, instant

POOL = "cart5"


def people(*enrolments: int) -> sa.Subquery:
    rows = [
        sa.select(sa.literal(e).label("enrolment_id"), sa.literal(place).label("place"), sa.literal(900 + e).label("valid_until"))
        for place, e in enumerate(enrolments)
    ]  # fmt: skip
    return sa.union_all(*rows).subquery("due")


def filled(store: Store, *codes: str) -> Added:
    with store.write("ledger") as connection:
        return add_codes(connection, POOL, codes)


def holders(store: Store) -> list[tuple[str, int | None, str]]:
    c = t.coupon.c
    with store.read() as connection:
        return list(connection.execute(sa.select(c.code, c.enrolment_id, c.state).order_by(c.code)).tuples())


def batch_of(connection: Connection, enrolment: int, state: str, outcome: str | None = None) -> None:
    """A message with a code of the pool, of a person whose contact has the same number."""
    connection.execute(
        t.enrolment.insert().values(
            id=enrolment, campaign_id=1, version_id=1, wave_id=1, contact_id=enrolment, arrived_at=0, entered_at=0
        )
    )
    made = connection.execute(
        t.batch.insert().values(campaign_id=1, node_id=1, due_at=0, decided_at=0, state=state, coupon=POOL, n=1)
    )
    assert made.inserted_primary_key is not None
    connection.execute(
        t.send.insert().values(
            node_id=1, enrolment_id=enrolment, contact_id=enrolment, due_at=0, decided_at=0, outcome=outcome,
            batch_id=made.inserted_primary_key[0],
        )
    )  # fmt: skip


def test_codes_come_in_once_and_refused_rows_say_why(store: Store) -> None:
    with store.write("ledger") as connection:
        add_codes(connection, "other", ["THEIRS"])
    assert filled(store, "A", " B ", "", "A", "THEIRS", "x" * 101) == Added(
        2, 0,
        [(3, "no code"), (4, "stands twice in the file"), (5, "is a code of other already"), (6, "longer than 100 characters")],
    )  # fmt: skip
    assert filled(store, "B", "C") == Added(new=1, known=1)
    with store.read() as connection:
        assert stock_of(connection, POOL).left == 3


def test_who_comes_first_gets_the_first_code_and_keeps_it(store: Store) -> None:
    """A second message of the same enrolment bears the same code."""
    filled(store, "C", "A", "B")
    with store.write("ledger") as connection:
        assert set_aside(connection, POOL, people(7, 3), at=5) == 2
        assert set_aside(connection, POOL, people(3, 9), at=6) == 1
    assert holders(store) == [("A", 7, "set_aside"), ("B", 3, "set_aside"), ("C", 9, "set_aside")]
    with store.read() as connection:
        c = t.coupon.c
        assert connection.execute(sa.select(c.at, c.valid_until).where(c.code == "B")).one() == (5, 903)


def test_more_promised_than_there_are_is_an_error_and_gives_nothing(store: Store) -> None:
    filled(store, "A")
    with pytest.raises(RuntimeError, match="2 codes were promised, 1 are there"), store.write("ledger") as connection:
        set_aside(connection, POOL, people(1, 2), at=5)
    assert holders(store) == [("A", None, "free")]


@pytest.mark.parametrize(
    ("state", "outcome", "becomes"),
    [
        ("accepted", None, ("A", 1, "used")), ("closed", None, ("A", 1, "used")), ("unsure", None, ("A", 1, "unsure")),
        ("ready", None, ("A", 1, "set_aside")), ("claimed", None, ("A", 1, "set_aside")),
        ("withdrawn", None, ("A", None, "free")), ("accepted", "rejected", ("A", None, "free")),
        ("ready", "exited", ("A", None, "free")), ("accepted", "skipped:render_failed", ("A", None, "free")),
    ],
)  # fmt: skip
def test_a_code_follows_its_message(store: Store, state: str, outcome: str | None, becomes: tuple[object, ...]) -> None:
    filled(store, "A")
    with store.write("ledger") as connection:
        batch_of(connection, 1, state, outcome)
        set_aside(connection, POOL, people(1), at=5)
        settle_codes(connection, [POOL])
        settle_codes(connection, [POOL])
    assert holders(store) == [becomes]


def test_a_code_whose_decision_was_forgotten_is_free(store: Store) -> None:
    """Released: the row of record is gone."""
    filled(store, "A", "B")
    with store.write("ledger") as connection:
        set_aside(connection, POOL, people(1), at=5)
        assert settle_codes(connection, [POOL]) == 1
        assert stock_of(connection, POOL).left == 2


def test_an_unsure_code_is_free_once_a_late_answer_refuses_it(store: Store) -> None:
    filled(store, "A")
    with store.write("ledger") as connection:
        batch_of(connection, 1, "unsure")
        set_aside(connection, POOL, people(1), at=5)
        assert settle_codes(connection, [POOL]) == 0
        connection.execute(t.send.update().values(outcome="rejected"))
        assert settle_codes(connection, [POOL]) == 1
    assert holders(store) == [("A", None, "free")]


def test_an_empty_pool_is_told_in_the_order_in_which_people_fall_due(store: Store) -> None:
    """Two codes: 1 has one already, 2 and 4 get them; 3 is skipped anyway; a held person is told as a treated one in its place."""
    filled(store, "A", "B", "C")
    asked = [
        (1, 10, None, "treated"), (2, 10, None, "treated"), (3, 11, "no_consent", "treated"), (4, 12, None, "treated"),
        (5, 12, None, "held_campaign"), (6, 13, None, "treated"), (7, 9, None, "held_campaign"),
    ]  # fmt: skip
    rows = [
        sa.select(
            sa.literal(e).label("enrolment_id"), sa.literal(e).label("contact_id"), sa.literal(due).label("due_at"),
            sa.cast(sa.null() if why is None else sa.literal(why), sa.String).label("reason"), sa.literal(role).label("role"),
        )
        for e, due, why, role in asked
    ]  # fmt: skip
    with store.write("ledger") as connection:
        set_aside(connection, POOL, people(1), at=5)
        told = coded(sa.union_all(*rows).cte("told"), stock_of(connection, POOL)).c
        late: Sequence[int] = connection.scalars(
            sa.select(told.enrolment_id).where(told.is_too_late).order_by(told.enrolment_id)
        ).all()
    assert list(late) == [5, 6]


def test_two_passes_at_once_never_give_one_code_twice(store: Store) -> None:
    filled(store, *(f"C{number:03}" for number in range(100)))

    def pass_of(first: int) -> None:
        for start in range(first, first + 50, 10):
            with store.write("ledger") as connection:
                take_pass(connection)
                settle_codes(connection, [POOL])
                for enrolment in range(start, start + 10):
                    batch_of(connection, enrolment, "ready")
                set_aside(connection, POOL, people(*range(start, start + 10)), at=start)

    threads = [Thread(target=pass_of, args=(first,)) for first in (1, 1001)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = [enrolment for _, enrolment, _ in holders(store)]
    assert sorted(e for e in given if e is not None) == [*range(1, 51), *range(1001, 1051)]


def test_a_message_reads_its_code_and_its_end_on_the_contacts_clock(any_shop: Shop) -> None:
    """22:30 in Berlin is 06:30 of the next day in Tokyo; who has a message with a coupon and no code breaks an invariant."""
    shop = any_shop
    shop.campaign("sale", "entry: {event: cart_updated}\njourney: [{email: hello}]\n")
    shop.apply()
    shop.at("2026-11-03 10:00")
    for name, zone in (("ada", "Asia/Tokyo"), ("bob", "Europe/Berlin")):
        shop.contact(name, timezone=zone)
        shop.event(name, "cart_updated")
    for before in range(1, 30):
        try:
            shop.run("sale", stop_before=before)
        except Interrupted:
            if shop.sends("email.hello"):
                break
    e = t.enrolment.c
    with shop.store.write("ledger") as connection:
        connection.execute(t.batch.update().values(coupon=POOL))
    assert [v.split(":")[0] for v in shop.violations()] == ["whoever has a message with a coupon holds a code"]
    with shop.store.write("ledger") as connection:
        add_codes(connection, POOL, ["A", "B"])
        end = sa.literal(instant("2026-11-09 22:30"), sa.BigInteger()).label("valid_until")
        due = sa.select(e.id.label("enrolment_id"), e.contact_id.label("place"), end).subquery("due")
        set_aside(connection, POOL, due, at=5)
    assert shop.violations() == []
    with shop.store.read() as connection:
        batch_id = connection.scalars(sa.select(t.batch.c.id)).one()
        columns = fetch_columns(connection, Channel.EMAIL, [batch_id], ["coupon.code", "coupon.valid_until"])[batch_id]
    assert list(columns.values["coupon.code"]) == ["A", "B"]
    assert [str(end) for end in columns.values["coupon.valid_until"]] == ["2026-11-10 06:30:00", "2026-11-09 22:30:00"]

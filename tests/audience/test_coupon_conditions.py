"""`coupon: POOL, is: …`: SQL and the plain reference agree, of the enrolment's own code and of any of the contact's."""

from __future__ import annotations

from itertools import product

import pytest
import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.facts import CouponFact, EnrolmentFact, Facts, Journey
from carillon.audience.known import facts_of, journey_of
from carillon.audience.moment import Moment, of_contact, of_enrolment
from carillon.audience.reference import holds
from carillon.audience.select import matching
from carillon.definition.conditions import Condition, CouponIs, Not
from carillon.kernel.clock import DAY
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.engine import Store
from tests.audience.facts_in_store import write_facts

NOW = 1_800_000_000_000_000
CODES = [
    (until, ordered) for until, ordered in product((None, NOW - DAY, NOW, NOW + DAY), (None, NOW - 2 * DAY, NOW, NOW + 1))
]  # fmt: skip
"""Every way in which an end and an order may lie about the moment."""
CONDITIONS: list[Condition] = [
    condition
    for state in ("unused", "redeemed", "expired")
    for is_own in (True, False)
    for condition in (CouponIs("a", state, is_own), Not(CouponIs("a", state, is_own)))  # type: ignore[arg-type]
]


def somebody(number: int) -> Facts:
    fields = {"id": f"c{number}", "timezone": "UTC", "created_at": 0}
    ways = (EnrolmentFact("mine", NOW - 3 * DAY, True), EnrolmentFact("other", NOW - 3 * DAY, False))
    return Facts(fields, enrolments=ways, journey=Journey(0, NOW - 3 * DAY))


def write_codes(store: Store, n: int) -> dict[int, tuple[int, int]]:
    """Each way of a code in the pool `a`, held by the first enrolment of one contact, by the second of another; contact →
    its two enrolments. Odd contacts hold a code of another pool beside it, spelt in small letters in orders."""
    write_facts(store, {number: somebody(number) for number in range(1, n + 1)})
    with store.read() as connection:
        e = t.enrolment.c
        rows = connection.execute(sa.select(e.contact_id, e.id).order_by(e.contact_id, e.id)).all()
    ways = {contact: [r.id for r in rows if r.contact_id == contact] for contact in range(1, n + 1)}
    codes, orders = [], []
    for contact, (own, other) in ways.items():
        until, ordered = CODES[(contact - 1) // 2 % len(CODES)]
        codes.append(("a", f"Code{contact}", other if contact % 2 else own, "used", 1, until))
        if contact % 2:
            codes.append(("b", f"B{contact}", own, "used", 1, None))
        if ordered is not None:
            orders.append((f"CODE{contact}", ordered))
    with store.write("ledger") as connection:
        connection.execute(t.coupon.delete())
        columns = ("pool", "code", "enrolment_id", "state", "at", "valid_until")
        insert_rows(connection, t.coupon, columns, codes)
    with store.write("events") as connection:
        connection.execute(t.redemption.delete())
        insert_rows(connection, t.redemption, ("code", "at"), orders)
    return {contact: (own, other) for contact, (own, other) in ways.items()}


@pytest.mark.parametrize("few", [True, False])
def test_sql_and_reference_agree_on_every_code(store: Store, few: bool) -> None:
    """32 people, every end and every order; of a contact and of an enrolment, in look-ups and as a set."""
    ways = write_codes(store, 2 * len(CODES))
    at = Moment(NOW, store.dialect)
    with store.read() as connection:
        known = facts_of(connection, list(ways), at)
        assert known[1].coupons == (
            CouponFact("a", "Code1", ways[1][1], None, None), CouponFact("b", "B1", ways[1][0], None, None),
        )  # fmt: skip
        for condition in CONDITIONS:
            asked = where(condition, of_contact(few=few), at)
            by_contact = set(connection.scalars(sa.select(t.contact.c.id).where(asked)))
            assert by_contact == {c for c, facts in known.items() if holds(condition, facts, at)}, condition
            asked = where(condition, of_enrolment(), at)
            by_way = set(connection.scalars(sa.select(t.enrolment.c.id).where(asked)))
            expected = {
                way
                for contact, both in ways.items()
                for way in both
                if holds(condition, _in_journey(known[contact], journey_of(connection, way, at)), at)
            }
            assert by_way == expected, condition


def _in_journey(facts: Facts, journey: Journey) -> Facts:
    return Facts(facts.fields, enrolments=facts.enrolments, coupons=facts.coupons, journey=journey)


def test_everybody_with_a_code_is_exactly_one_of_three(store: Store) -> None:
    ways = write_codes(store, 2 * len(CODES))
    at = Moment(NOW, store.dialect)
    with store.read() as connection:
        found = [
            set(connection.scalars(matching(CouponIs("a", state), at))) for state in ("unused", "redeemed", "expired")
        ]
    assert sum(map(len, found)) == len(set().union(*found)) == len(ways)

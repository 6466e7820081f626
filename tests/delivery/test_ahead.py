"""Slices that are asked about while others are written, on SQLite: another pass that comes in between is heeded."""

from __future__ import annotations

from functools import partial

import pytest
import sqlalchemy as sa

from carillon.delivery.desk import Reserved
from carillon.delivery.reserve import reserve
from carillon.delivery.turns import TurnLostError, number_of_pass, still_ours, take_pass
from carillon.journey.enter import enter
from carillon.journey.ground import Ground, load_ground
from carillon.store import tables as t
from tests.shop import Shop

SALE = """\
audience: everyone
entry: {at: 2026-11-02 12:00}
journey: [{email: sale}]
"""
ONE_A_WEEK = "limits:\n  caps: [{channel: email, max: 1, per: 7d, when_full: skip}]\n"
PEOPLE, SLICE = 200, 20


def entered(shop: Shop) -> tuple[Ground, Ground]:
    """Two campaigns whose people are the same, under a cap of one mail a week."""
    shop.workspace(ONE_A_WEEK)
    shop.people(PEOPLE)
    shop.campaign("sale", SALE)
    shop.campaign("second", SALE.replace("email: sale", "email: second"))
    shop.apply()
    shop.at("2026-11-02 12:00")
    sale, second = (load_ground(shop.store, name, shop.clock.now()) for name in ("sale", "second"))
    enter(sale)
    enter(second)
    return sale, second


def mails(shop: Shop) -> dict[str, int]:
    """Campaign → people who get its mail."""
    b = t.batch.c
    with shop.store.read() as connection:
        rows = connection.execute(
            sa.select(t.campaign.c.name, sa.func.sum(b.n))
            .join_from(t.batch, t.campaign, t.campaign.c.id == b.campaign_id)
            .group_by(t.campaign.c.name)
        )
        return dict(rows.tuples().all())


def test_who_was_asked_about_before_another_pass_is_asked_about_again(shop: Shop) -> None:
    sale, second = entered(shop)
    others: list[Reserved] = []

    def another_pass(_: int) -> None:
        if not others:
            others.extend(reserve([second], max_people=shop.engine.max_people)["second"])

    [told] = reserve([sale], max_people=shop.engine.max_people, slice_people=SLICE, told=another_pass)["sale"]
    assert (told.ready, told.skipped) == (SLICE, {"capped": PEOPLE - SLICE})
    assert (others[0].ready, others[0].skipped) == (PEOPLE - SLICE, {"capped": SLICE})
    assert mails(shop) == {"sale": SLICE, "second": PEOPLE - SLICE}
    assert shop.violations() == []


def test_two_passes_that_always_come_in_between_both_end(shop: Shop) -> None:
    """Each forgets what it asked, and neither forgets it forever."""
    sale, second = entered(shop)

    def one_more(_: int) -> None:
        with shop.store.write("ledger") as connection:
            take_pass(connection)

    [told] = reserve([sale], max_people=shop.engine.max_people, slice_people=SLICE, told=one_more)["sale"]
    assert told.ready == PEOPLE
    [others] = reserve([second], max_people=shop.engine.max_people, slice_people=SLICE, told=one_more)["second"]
    assert others.skipped == {"capped": PEOPLE}
    assert shop.violations() == []


def test_a_pass_that_is_stopped_leaves_nothing_of_what_it_asked_ahead(shop: Shop) -> None:
    sale, _ = entered(shop)
    slices: list[int] = []
    some = partial(reserve, [sale], max_people=shop.engine.max_people, slice_people=SLICE)
    [told] = some(told=slices.append, stopping=lambda: len(slices) == 2)["sale"]
    assert (told.ready, slices) == (2 * SLICE, [SLICE, SLICE])
    [rest] = some()["sale"]
    assert rest.ready == PEOPLE - 2 * SLICE
    assert shop.violations() == []


def test_batches_are_numbered_in_the_order_of_their_slices(shop: Shop) -> None:
    sale, _ = entered(shop)
    reserve([sale], max_people=shop.engine.max_people, slice_people=SLICE)
    s = t.send.c
    with shop.store.read() as connection:
        rows = connection.execute(sa.select(s.batch_id, sa.func.min(s.enrolment_id)).group_by(s.batch_id)).all()
    assert [first for _, first in sorted(rows)] == sorted(first for _, first in rows)
    assert len(rows) == PEOPLE // SLICE


def test_an_older_pass_may_not_decide_any_more(shop: Shop) -> None:
    number = number_of_pass(shop.store)
    with shop.store.read() as connection:
        still_ours(connection, number)
    assert number_of_pass(shop.store) == number + 1
    with pytest.raises(TurnLostError), shop.store.read() as connection:
        still_ours(connection, number)

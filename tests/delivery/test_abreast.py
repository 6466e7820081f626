"""Slices that are decided at once, on PostgreSQL: the same for everybody as one after the other, and one pass at a time."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from carillon.delivery.desk import Reserved
from carillon.delivery.reserve import reserve
from carillon.delivery.turns import TurnLostError, shared_pass, take_pass, work_under
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.store.engine import Store
from tests.conftest import StoreMaker
from tests.shop import Shop

SALE = """\
audience: everyone
entry: {at: 2026-11-02 12:00}
journey: [{email: sale}]
"""
PEOPLE = 100


@pytest.fixture
def postgres(new_store: StoreMaker) -> Store:
    return new_store("postgresql")


def decided(shop: Shop, *names: str) -> dict[str, list[Reserved]]:
    """Everybody of these campaigns entered and decided, in slices of twenty."""
    shop.at("2026-11-02 12:00")
    grounds = [load_ground(shop.store, name, shop.clock.now()) for name in names]
    for ground in grounds:
        enter(ground)
    return reserve(grounds, max_people=shop.engine.max_people, slice_people=20)


def test_of_a_shared_address_one_gets_it_whichever_slices_they_are_in(any_shop: Shop) -> None:
    names = any_shop.people(PEOPLE)
    for older, younger in ((0, 1), (2, 39), (3, 98), (45, 70), (46, 71)):
        any_shop.change(names[younger], email=f"{names[older]}@example.com")
    any_shop.consent(names[46], "offers/email", "no")  # who may not have it takes it from nobody
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    [told] = decided(any_shop, "sale")["sale"]
    doubles = {names[i]: "duplicate_address" for i in (1, 39, 98, 70)}
    assert any_shop.skips == doubles | {names[46]: "no_consent"}
    assert (told.ready, told.skipped) == (PEOPLE - 5, Counter(duplicate_address=4, no_consent=1))
    assert any_shop.violations() == []


def test_a_cap_across_campaigns_holds_in_every_slice(any_shop: Shop) -> None:
    any_shop.workspace("limits:\n  caps: [{channel: email, max: 1, per: 7d, when_full: skip}]\n")
    names = any_shop.people(PEOPLE)
    any_shop.campaign("sale", SALE)
    any_shop.campaign(
        "second", SALE.replace("everyone", "everyone\npriority: 10").replace("email: sale", "email: second")
    )
    any_shop.apply()
    told = decided(any_shop, "second", "sale")
    assert [told["sale"][0].ready, told["second"][0].skipped] == [PEOPLE, Counter(capped=PEOPLE)]
    assert sorted(any_shop.skips) == names


@pytest.mark.postgres
def test_nobody_else_decides_while_slices_work_under_a_turn(postgres: Store) -> None:
    with shared_pass(postgres) as holder, postgres.write("ledger") as one, postgres.write("ledger") as another:
        work_under(one, holder)
        work_under(another, holder)
        with pytest.raises(OperationalError, match="lock timeout"):
            _take_at_once(postgres)
    _take_at_once(postgres)


@pytest.mark.postgres
def test_a_turn_whose_connection_is_gone_is_nobodys(postgres: Store) -> None:
    """Who began under it is waited for; who comes later decides nothing."""
    with postgres.write("ledger") as left_over:
        with suppress(OperationalError), shared_pass(postgres) as holder:
            work_under(left_over, holder)
            left_over.execute(sa.select(sa.func.pg_terminate_backend(holder)))
        with pytest.raises(OperationalError, match="lock timeout"):
            _take_at_once(postgres)
    _take_at_once(postgres)
    with pytest.raises(TurnLostError), postgres.write("ledger") as late:
        work_under(late, holder)


def _take_at_once(store: Store) -> None:
    with store.write("ledger") as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
        take_pass(connection)

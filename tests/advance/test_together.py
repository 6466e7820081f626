"""Many people are decided and handed over at the same time: the same rows, and the same mails, as one after the other."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from carillon.advance import together
from carillon.advance.stages import Stage
from carillon.delivery.supply import Supply
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.shop import Shop

SALE = """\
audience: everyone
entry: {at: 2026-11-02 12:00}
journey: [{email: sale, test: {variants: [a, b]}}, {wait: 1d}, {email: last}]
"""
PEOPLE = 130


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MANY", 20)
    monkeypatch.setattr(together, "SLICE", 20)


def prepare(shop: Shop) -> None:
    """A sale for everybody, applied."""
    shop.people(PEOPLE)
    shop.campaign("sale", SALE)
    shop.apply()


@pytest.mark.usefixtures("few_are_many")
def test_the_first_leave_while_the_others_are_decided(any_shop: Shop) -> None:
    prepare(any_shop)
    advanced = any_shop.run("sale", "2026-11-02 12:00")
    told = [(stage.title, dict(stage.counts)) for stage in advanced.stages]
    assert f"email.sale: {PEOPLE} to decide and hand over" in any_shop.stages
    assert told[-3:-1] == [("email.sale", {"ready": PEOPLE}), ("email.sale", {"accepted": PEOPLE})]
    assert len(set(any_shop.inbox)) == len(any_shop.inbox) == PEOPLE
    assert any_shop.run("sale").stages == ()


def test_both_ways_give_everybody_the_same(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variant, due instant and outcome of each, whether all are decided first or some leave meanwhile."""
    prepare(shop)
    twin = Shop(copy_of(shop.store, tmp_path / "twin"), shop.folder)
    twin.clock = shop.clock
    shop.run("sale", "2026-11-02 12:00")
    monkeypatch.setattr(together, "MANY", 20)
    monkeypatch.setattr(together, "SLICE", 20)
    twin.run("sale", "2026-11-02 12:00")
    assert sends(twin) == sends(shop)
    assert Counter(arm for _, arm, *_ in sends(shop)).keys() == {"a", "b"}
    assert sorted(twin.inbox) == sorted(shop.inbox)


def test_what_cannot_be_handed_over_ends_the_deciding() -> None:
    def decide(supply: Supply) -> Stage:
        while supply.is_wanted:
            supply.more()
        return Stage("decide")

    def hand_over(supply: Supply) -> Stage:
        raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError, match="the database is gone"):
        together.together("sale", decide, hand_over)


def test_what_cannot_be_decided_ends_the_hand_over_in_order() -> None:
    def decide(supply: Supply) -> Stage:
        raise LookupError("no sender")

    def hand_over(supply: Supply) -> Stage:
        while supply.goes_on:
            pass
        return Stage("sale", counts={"accepted": 20})

    with pytest.raises(LookupError, match="no sender"):
        together.together("sale", decide, hand_over)


def sends(shop: Shop) -> list[tuple[Any, ...]]:
    """(contact, arm, due, outcome or state of the batch) of each send."""
    s, b = t.send.c, t.batch.c
    rows = sa.select(s.contact_id, s.arm, s.due_at, sa.func.coalesce(s.outcome, b.state))
    with shop.store.read() as connection:
        found = connection.execute(rows.outerjoin_from(t.send, t.batch, b.id == s.batch_id).order_by(s.contact_id))
        return [tuple(row) for row in found]


def copy_of(store: Store, folder: Path) -> Store:
    """Another SQLite store with the same rows."""
    twin = Store(f"sqlite:///{folder / 'carillon.db'}")
    folder.mkdir()
    for part, path in store.files().items():
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(twin.files()[part])) as target:
            source.backup(target)
    return twin

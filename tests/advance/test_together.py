"""Many people are decided and handed over at the same time: the same rows, and the same mails, as one after the other."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from carillon.advance import together
from carillon.advance.stages import Stage
from carillon.delivery.reserve import reserve
from carillon.delivery.supply import Supply
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.journey.leave import leave, leave_batches
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.sqlite import driver
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
    monkeypatch.setattr(together, "GO_ON", 20)


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
    decided = told.index(("email.sale", {"ready": PEOPLE}))
    assert told[decided + 1] == ("email.sale", {"accepted": PEOPLE})
    gone_on = [counts["from email.sale"] for title, counts in told[decided + 2 :] if title == "go on"]
    assert sum(gone_on) == PEOPLE
    assert len(set(any_shop.inbox)) == len(any_shop.inbox) == PEOPLE
    assert any_shop.run("sale").stages == ()


def test_both_ways_give_everybody_the_same(shop: Shop, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Variant, due instant and outcome of each and where they stand, all decided first or some leaving meanwhile."""
    prepare(shop)
    twin = Shop(copy_of(shop.store, tmp_path / "twin"), shop.folder)
    twin.clock = shop.clock
    shop.run("sale", "2026-11-02 12:00")
    request.getfixturevalue("few_are_many")
    twin.run("sale", "2026-11-02 12:00")
    assert sends(twin) == sends(shop)
    assert places(twin) == places(shop)
    assert Counter(arm for _, arm, *_ in sends(shop)).keys() == {"a", "b"}
    assert sorted(twin.inbox) == sorted(shop.inbox)


def test_who_was_handed_over_goes_on_while_others_are(any_shop: Shop) -> None:
    """Of the batches that are told of those whose hand-over is final, and each person once; all others stay for `leave`."""
    prepare(any_shop)
    any_shop.at("2026-11-02 12:00")
    ground = load_ground(any_shop.store, "sale", any_shop.clock.now())
    enter(ground)
    reserve([ground], max_people=any_shop.engine.max_people, slice_people=20)
    node_id, b = ground.applied.nodes["email.sale"], t.batch.c
    with any_shop.store.write("ledger") as connection:
        sizes = dict(connection.execute(sa.select(b.id, b.n).order_by(b.id)).tuples().all())
        first, second, *_, last = sizes
        handed_over = sa.update(t.batch).where(b.id.in_([first, last]))
        connection.execute(handed_over.values(state="accepted", claimed_at=ground.now))
    assert leave_batches(ground, {node_id: [first, second]}) == {"email.sale": sizes[first]}
    assert leave_batches(ground, {node_id: [first, second]}) == {}
    assert leave(ground) == {"email.sale": sizes[last]}
    assert any_shop.violations() == []


@pytest.mark.usefixtures("few_are_many")
def test_the_next_message_is_decided_by_a_pass_of_its_own(any_shop: Shop) -> None:
    """Whoever comes to it meanwhile is asked first whether they exit: the one that is under way may be at it yet."""
    any_shop.people(PEOPLE)
    any_shop.campaign("sale", SALE.replace("{wait: 1d}, ", ""))
    any_shop.apply()
    told = [(stage.title, dict(stage.counts)) for stage in any_shop.run("sale", "2026-11-02 12:00").stages]
    assert told.count(("go on", {"from email.sale": PEOPLE})) == 1
    assert told.index(("go on", {"from email.sale": PEOPLE})) < told.index(("email.last", {"ready": PEOPLE}))
    assert Counter(any_shop.inbox).total() == 2 * PEOPLE
    assert any_shop.violations() == []


def test_what_cannot_be_handed_over_ends_the_deciding() -> None:
    def decide(supply: Supply) -> Stage:
        while supply.is_wanted:
            supply.more()
        return Stage("decide")

    def hand_over(supply: Supply) -> Stage:
        raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError, match="the database is gone"):
        together.together("sale", 20, decide, hand_over, go_on, has_line=True)


def test_what_cannot_be_decided_ends_the_hand_over_in_order() -> None:
    def decide(supply: Supply) -> Stage:
        raise LookupError("no sender")

    def hand_over(supply: Supply) -> Stage:
        while supply.goes_on:
            pass
        return Stage("sale", counts={"accepted": 20})

    with pytest.raises(LookupError, match="no sender"):
        together.together("sale", 20, decide, hand_over, go_on, has_line=True)


def go_on(supply: Supply) -> Stage:
    """Takes what is told of until the end."""
    while supply.handed_over.take(1):
        pass
    return Stage("go on")


def places(shop: Shop) -> list[tuple[Any, ...]]:
    """(contact, step, since when, until when) of everybody under way."""
    e, n = t.enrolment.c, t.node.c
    rows = sa.select(e.contact_id, n.step_id, e.arrived_at, e.due_at).join_from(t.enrolment, t.node, n.id == e.node_id)
    with shop.store.read() as connection:
        return [tuple(row) for row in connection.execute(rows.order_by(e.contact_id))]


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
        with closing(driver.connect(path)) as source, closing(driver.connect(twin.files()[part])) as target:
            source.backup(target)
    return twin

"""Codes of coupons while processes die and run beside one another: nobody's is somebody else's, and none is lost."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.policy.coupons import add_codes
from carillon.store import tables as t
from tests.conftest import STORES, StoreMaker
from tests.crash.house import WORKSPACE, House, sink
from tests.shop import DESIGN

NOW = "2026-12-01T10:01"
SALE = "audience: everyone\nentry: {every: day, at: 10:00}\njourney: [{email: sale, coupon: cart5}]\n"
WORDS = "subject: '{{ coupon.code }}'\ntexts: {headline: Hello}\n"
FILES = {"sale.yaml": WORDS, "sale.de.yaml": WORDS, "sale.html": DESIGN}
POINTS = ("between_stages:12", "before_claim:1", "after_hand_over_before_settle:1")
"""Decided and not begun, before the claim, and after the bytes left."""


def house_with(house: House, people: int, codes: int, *campaigns: str) -> House:
    """So many people and codes, and campaigns that all give codes of one pool."""
    house.shop.write("workspace.yaml", WORKSPACE + "coupons: {cart5: {valid_for: 7d}}\n")
    for name in campaigns:
        house.shop.campaign(name, SALE, FILES)
    house.people(people, gold=1.0)
    with house.store.write("ledger") as connection:
        add_codes(connection, "cart5", [f"C{number:04}" for number in range(codes)])
    house.shop.apply(*campaigns)
    return house


def codes_by_state(house: House) -> dict[str, int]:
    c = t.coupon.c
    with house.store.read() as connection:
        return dict(connection.execute(sa.select(c.state, sa.func.count()).group_by(c.state)).tuples().all())


@pytest.mark.parametrize("dialect", STORES)
@pytest.mark.timeout(180)
def test_a_run_killed_between_decision_and_acceptance_loses_no_code(
    dialect: str, new_store: StoreMaker, tmp_path: Path
) -> None:
    """Three kills, and the next day's run takes what is free: each code is used, unsure or free as its message is."""
    with sink(seed=3) as provider:
        house = house_with(House(new_store(dialect), tmp_path / "shop", provider), 40, 60, "sale")
        for point in POINTS:
            child = house.start("run", "sale", "--now", NOW, crash_at=point)
            child.join(120)
            assert (point, child.exitcode) == (point, -signal.SIGKILL)
            assert house.violations() == []
            assert codes_by_state(house) == {"free": 20, "set_aside": 40}
        for _ in range(2):  # what the dead left is unsure after the first, and so are its codes with the next
            house.command("run", "sale", "--now", NOW)
        states = house.states()
        unsure, accepted = states.get("unsure", 0), states.get("accepted", 0)
        assert (unsure > 0, unsure + accepted) == (True, 40)
        assert codes_by_state(house) == +Counter(free=20, used=accepted, unsure=unsure)
        house.command("run", "sale", "--now", NOW.replace("12-01", "12-02"))
        assert house.states() == Counter({"unsure": unsure, "accepted": accepted + 20, "skipped:no_coupon": 20})
        assert codes_by_state(house) == Counter(used=accepted + 20, unsure=unsure)
        assert max(house.reached().values()) == 1


@pytest.mark.parametrize("dialect", STORES)
@pytest.mark.timeout(180)
def test_two_campaigns_that_run_at_once_never_give_one_code_to_two_people(
    dialect: str, new_store: StoreMaker, tmp_path: Path
) -> None:
    """Sixty messages, 45 codes: each code is one enrolment's, and exactly fifteen people are told that there is none."""
    with sink(seed=4) as provider:
        house = house_with(House(new_store(dialect), tmp_path / "shop", provider), 30, 45, "first", "second")
        children = [house.start("run", name, "--now", NOW) for name in ("first", "second")]
        for child in children:
            child.join(120)
        for name in ("first", "second"):
            house.command("run", name, "--now", NOW)
        assert house.states() == {"accepted": 45, "skipped:no_coupon": 15}
        assert codes_by_state(house) == {"used": 45}
        with house.store.read() as connection:
            holders = connection.scalars(sa.select(t.coupon.c.enrolment_id)).all()
        assert len(set(holders)) == 45
        assert house.violations() == []

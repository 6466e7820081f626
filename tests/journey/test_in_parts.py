"""A large audience is asked in parts by a second thread: the same people enter, at the same instants, for the same reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from carillon.journey import in_parts
from carillon.journey.ground import Ground
from carillon.store import tables as t
from carillon.store.migrate import open_store
from tests.shop import Shop

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")
MORNINGS = """\
audience: {contact: {tier: gold}}
entry: {every: day, at: 09:00, timezone: contact}
holdout: 20%
journey: [{wait: 36h}, {email: news}]
"""


def entered(folder: Path) -> tuple[list[tuple[Any, ...]], list[dict[str, int]]]:
    """Two mornings of a fresh shop of twenty: who entered, and who did not."""
    store = open_store(f"sqlite:///{folder / 'carillon.db'}")
    shop = Shop(store, folder)
    for number in range(20):
        tier = "basic" if number % 5 == 3 else "gold"
        shop.contact(f"c{number}", tier=tier, timezone=ZONES[number % 3])
    shop.campaign("mornings", MORNINGS)
    shop.apply()
    shop.run_to("mornings", "2026-11-04 12:00")
    e = t.enrolment.c
    with store.read() as connection:
        rows = connection.execute(
            sa.select(e.id, e.wave_id, e.contact_id, e.role, e.arrived_at, e.due_at).order_by(e.id)
        )
        found = [tuple(row) for row in rows]
    why = [left_out for *_, left_out in shop.waves()]
    store.close()
    return found, why


@pytest.mark.parametrize("part", [1, 3, 19])
def test_in_parts_the_same_people_enter_as_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """Each contact's clock, a holdout, a segment; the second morning finds those of the first still under way."""
    found, why = at_once = entered(tmp_path / "whole")
    assert (len(found), why) == (16, [{}, {"under_way": 16}])
    monkeypatch.setattr(in_parts, "PART", part)
    assert entered(tmp_path / "parts") == at_once


def test_people_of_a_part_enter_by_their_id(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sorts them where nothing can keep them out: they come so."""
    monkeypatch.setattr(in_parts, "PART", 3)
    ids = [shop.contact(f"c{number}", tier="gold") for number in range(10)]
    shop.campaign("once", "audience: {contact: {tier: gold}}\nentry: {at: 2026-11-02 12:00}\njourney: [{wait: 1d}]\n")
    shop.apply()
    shop.run("once", "2026-11-02 12:00")
    with shop.store.read() as connection:
        assert connection.scalars(sa.select(t.enrolment.c.contact_id).order_by(t.enrolment.c.id)).all() == sorted(ids)


def test_a_fault_in_the_second_thread_leaves_no_wave(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stops the second thread stops the wave: nobody of its first parts stays."""
    monkeypatch.setattr(in_parts, "PART", 2)
    for number in range(6):
        shop.contact(f"c{number}", tier="gold")
    shop.campaign("mornings", MORNINGS)
    shop.apply()
    asked = in_parts._asked

    def fails(ground: Ground, last: int) -> list[int]:
        if last == 4:
            raise RuntimeError("no more")
        return asked(ground, last)

    monkeypatch.setattr(in_parts, "_asked", fails)
    with pytest.raises(RuntimeError, match="no more"):
        shop.run("mornings", "2026-11-03 12:00")
    assert (shop.waves(), shop.enrolments) == ([], {})
    monkeypatch.setattr(in_parts, "_asked", asked)
    shop.run("mornings", "2026-11-03 12:00")
    assert [n for _, _, n, _ in shop.waves()] == [6]

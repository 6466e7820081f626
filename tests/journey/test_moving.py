"""However many stand at a step, no statement takes more than so many of them on."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from carillon.journey import moving
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.journey.leave import leave_batches
from carillon.store.staging import weigh
from tests.shop import DATA, Shop, counted

JOURNEY = """\
audience: everyone
entry: {at: 2026-11-02 12:00}
journey:
  - email: first
  - wait: 1d
  - {wait: {until: {date: starts_on}, at: 12:00}, id: day}
  - choose:
      - {if: {contact: {tier: gold}}, then: [{wait: 2d, id: rest}]}
      - otherwise: {exit: basic}
"""


def test_people_go_on_in_parts_as_they_would_at_once(any_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven, three at a time: past a message, a wait, their own date (later for one of them) and a fork, to the end."""
    monkeypatch.setattr(moving, "MOST_AT_ONCE", 3)
    any_shop.write("data.yaml", DATA.replace("points: number", "points: number, starts_on: date"))
    any_shop.campaign("parts", JOURNEY)
    for number in range(7):
        day = "2026-11-09" if number == 6 else "2026-11-04"
        any_shop.contact(f"c{number}", starts_on=day, tier="gold" if number % 3 else "basic")
    any_shop.apply()
    any_shop.run("parts", "2026-11-02 12:00")
    assert counted(any_shop.sends("email.first")) == {"accepted": 7}
    any_shop.run("parts", "2026-11-04 13:00")
    assert counted(any_shop.enrolments) == {"basic": 2, "rest": 4, "day": 1}
    any_shop.run("parts", "2026-11-06 13:00")
    assert counted(any_shop.enrolments) == {"basic": 2, "finished": 4, "day": 1}
    any_shop.run("parts", "2026-11-09 13:00")
    assert counted(any_shop.enrolments) == {"basic": 3, "finished": 4}
    assert any_shop.violations() == []


def test_where_a_part_ends_is_read_from_the_index_in_its_order(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is sorted for it: each part would sort all who stand there."""
    monkeypatch.setattr(moving, "MOST_AT_ONCE", 3)
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT ledger.enrolment.due_at") and "OFFSET" in statement:
            asked.append((statement, parameters))

    shop.campaign(
        "parts",
        "audience: everyone\nentry: {at: 2026-11-02 12:00}\njourney: [{email: first}, {wait: 1d}, {exit: over}]\n",
    )
    shop.people(7)
    shop.apply()
    sa.event.listen(shop.store.engine("ledger"), "before_cursor_execute", note)
    shop.run("parts", "2026-11-02 12:00")
    shop.run("parts", "2026-11-03 13:00")
    assert len(asked) >= 4
    with shop.store.read() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all() for sql, values in asked]
    said = {row[-1] for plan in plans for row in plan}
    assert all("ix_enrolment_stand (node_id=? AND version_id=? AND due_at" in line for line in said), said


def test_the_people_of_a_few_batches_are_found_by_these(any_shop: Shop) -> None:
    """However many stand at the message, and before PostgreSQL has counted them: to read them all for each few batches
    would take a square of them.
    """
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "UPDATE ledger.enrolment" in statement:
            asked.append((statement, parameters))

    any_shop.campaign(
        "sale", "audience: everyone\nentry: {at: 2026-11-02 12:00}\njourney: [{email: sale}, {wait: 1d}]\n"
    )
    any_shop.apply()
    is_sqlite, engine = any_shop.store.dialect == "sqlite", any_shop.store.engine("ledger")
    with any_shop.store.write("ledger") as connection:
        weigh(connection, "ledger.enrolment")  # nobody, as far as it knows
    any_shop.people(2_000)
    any_shop.at("2026-11-02 12:00")
    ground = load_ground(any_shop.store, "sale", any_shop.clock.now())
    enter(ground)
    sa.event.listen(engine, "before_cursor_execute", note)
    leave_batches(ground, {ground.applied.nodes["email.sale"]: range(1, 21)})
    sa.event.remove(engine, "before_cursor_execute", note)
    [(sql, values)] = asked
    with any_shop.store.write("ledger") as connection:
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        said = [row[-1] for row in connection.exec_driver_sql(f"{explain} {sql}", values)]
    by_batch, by_campaign = (
        "ix_send_batch",
        ("ix_enrolment_stand", "uq_enrolment", "SCAN ledger", "Seq Scan on enrolment"),
    )
    assert any(by_batch in line for line in said), said
    assert not any(name in line for line in said for name in by_campaign), said

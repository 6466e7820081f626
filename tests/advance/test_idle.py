"""A run with nothing to do is cheap: the minute-by-minute look at every campaign."""

from __future__ import annotations

import sqlalchemy as sa

from tests.shop import Shop

YAML = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey: [{email: sale, test: {variants: [plain, personal]}}, {wait: 2d}, {email: more}]
"""


def test_an_idle_advance_asks_little_and_writes_only_its_lease(shop: Shop) -> None:
    """Nothing due: a fixed number of statements, whatever the number of people; writes are the lease's alone."""
    shop.people(300)
    shop.campaign("sale", YAML)
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    shop.at("2026-12-01 09:10")
    asked: list[str] = []

    def count(connection: object, cursor: object, statement: str, *others: object) -> None:
        asked.append(statement)

    shop.run("sale")  # what is made once, such as zones, is there now
    for part in (None, "core", "events", "ledger"):
        sa.event.listen(shop.store.engine(part), "before_cursor_execute", count)
    assert shop.run("sale").stages == ()
    writes = [s for s in asked if s.split()[0] in ("INSERT", "UPDATE", "DELETE") and "ledger.lease" not in s]
    assert len([s for s in asked if not s.startswith("BEGIN")]) <= 80
    assert [s for s in writes if "enrolment" not in s] == []

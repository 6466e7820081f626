"""An upgrade of a store that an older Carillon left, with people under way in it: nobody lost, nobody twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from carillon.cli.keep import restore as restore_command
from carillon.cli.keep import upgrade as upgrade_command
from carillon.delivery.reserve import reserve
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.kernel.clock import SystemClock
from carillon.operating.archive import read_manifest
from carillon.operating.upgrade import upgrade
from carillon.plan.operate import set_operator_state
from carillon.store import tables as t
from carillon.store.engine import PARTS, Store
from carillon.store.migrate import HEADS, open_store, stored_revision
from carillon.store.zones import ready_for_zones
from tests.operating.older import Layout, layouts, set_back
from tests.shop import Shop

SERIES = """\
title: Series
audience: {reachable: email}
entry: {at: 2026-11-03 09:00, if_late: skip after 30d}
journey: [{email: one}, {wait: 2d}, {email: two}]
"""
NEWS = "title: News\naudience: {reachable: email}\nentry: {at: 2026-11-03 10:00}\njourney: [{email: hello}]\n"

AGES = [
    pytest.param(layout, id="-".join(it[-4:] for it in layout.values()), marks=[pytest.mark.soak] if age else [])
    for age, layout in enumerate(layouts())
]


def under_way(shop: Shop) -> None:
    """Half of a series out, a newsletter reserved and not handed over, one campaign paused by a person."""
    shop.people(3)
    for name, yaml in (("series", SERIES), ("news", NEWS), ("third", NEWS.replace("hello", "other"))):
        shop.campaign(name, yaml)
    shop.apply()
    set_operator_state(shop.store, ["third"], "paused", who="ann", at=shop.clock.now())
    shop.run("series", "2026-11-03 09:00")
    shop.at("2026-11-03 10:00")
    ready_for_zones(shop.store)
    ground = load_ground(shop.store, "news", shop.clock.now())
    enter(ground)
    reserve([ground], max_people={})
    assert set(shop.sends("email.hello").values()) == {"ready"}


def states(store: Store) -> dict[str, str]:
    with store.read() as connection:
        return dict(connection.execute(sa.select(t.campaign.c.name, t.campaign.c.operator_state)).tuples().all())


def letters(shop: Shop) -> Counter[tuple[str, str]]:
    return Counter((letter.address, letter.text) for letter in shop.mail.letters)


@pytest.mark.parametrize("layout", AGES)
def test_who_was_under_way_goes_on_after_an_upgrade(any_shop: Shop, layout: Layout):
    """Of every age of the store: runs pause, all rows are there afterwards, the rest goes out once, the sums hold."""
    shop = any_shop
    under_way(shop)
    rows = {table.fullname: shop.count(table) for table in t.metadata.sorted_tables}
    set_back(shop.store, layout)
    during: list[dict[str, str]] = []

    done = upgrade(
        shop.store, lambda: during.append(states(shop.store)), who="ann", clock=SystemClock(), patience_s=0,
        say=lambda line: None,
    )  # fmt: skip

    assert done.parts == [part for part in PARTS if layout[part] != HEADS[part]]
    assert during == [{"news": "paused", "series": "paused", "third": "paused"}]
    assert (done.resumed, states(shop.store)["third"]) == (["news", "series"], "paused")
    with shop.store.read() as connection:
        assert {part: stored_revision(connection, part) for part in PARTS} == HEADS
    # The upgrade's own words; and of the money that stood in the store nobody can tell which property it was.
    later = {"core.audit", "core.setting", "events.money_field"}
    now = {table.fullname: shop.count(table) for table in t.metadata.sorted_tables}
    assert {name: n for name, n in now.items() if name not in later} == {
        name: n for name, n in rows.items() if name not in later
    }
    shop.run("news", "2026-11-03 10:05")
    shop.run_to("series", "2026-11-06 12:00")
    assert Counter(text for _, text in letters(shop)) == {"one": 3, "hello": 3, "two": 3}
    assert max(letters(shop).values()) == 1
    assert shop.violations() == []


def test_the_command_upgrades_an_old_store_and_its_backup_can_be_restored(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`carillon upgrade` as typed: the archive that it wrote is of the old layout, and a restore brings it to the new."""
    under_way(shop)
    set_back(shop.store, layouts()[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)

    said = CliRunner().invoke(upgrade_command, ["--backup", str(tmp_path / "old.zip")])

    assert said.exit_code == 0, said.output
    assert "2 campaigns paused" in said.output
    assert "migrated: core, events, ledger\n2 campaigns go on" in said.output
    assert read_manifest(tmp_path / "old.zip").layout == layouts()[0]
    restored = CliRunner().invoke(restore_command, [str(tmp_path / "old.zip")])
    assert restored.exit_code == 0, restored.output
    assert "3 may have got news › email.hello since: unsure" in restored.output
    store = open_store(shop.store.url)
    with store.read() as connection:
        assert {part: stored_revision(connection, part) for part in PARTS} == HEADS
    store.close()


@pytest.mark.parametrize("command", [["status"], ["run", "series"], ["upgrade"], ["backup", "b.zip"], ["doctor"]])
def test_an_old_carillon_says_so_on_a_newer_store_and_leaves_it_alone(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
):
    """One sentence with what to do, and no traceback; nothing is written."""
    from carillon.cli.main import main

    shop.campaign("series", SERIES)
    shop.apply()
    with shop.store.write("ledger") as connection:
        connection.exec_driver_sql("UPDATE ledger.alembic_version SET version_num = 'ledger_9999'")
    shop.store.close()
    before = {path: path.read_bytes() for path in shop.store.files().values()}
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)

    said = CliRunner().invoke(main, command)

    if command[0] != "backup":  # a copy needs no layout
        assert said.exit_code in (1, 3), said.output
        assert "ledger of this store stands at ledger_9999" in " ".join(said.output.split())
        assert "newer version" in " ".join(said.output.split())
    assert "Traceback" not in said.output
    assert {path: path.read_bytes() for path in shop.store.files().values()} == before

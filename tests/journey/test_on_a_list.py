"""`list: NAME` in a campaign: who may enter, who is waited for and who leaves, all by what an import said."""

from __future__ import annotations

import pytest

from carillon.foresight.explain import explain
from carillon.journey.ground import load_ground
from carillon.people.importing import ListWish, plan_import, run_import
from carillon.people.mapping import Source
from tests.shop import Shop


def lists(shop: Shop, name: str, *people: str, is_whole: bool = False) -> None:
    """Import a list as the command does."""
    path = shop.folder / f"{name}.csv"
    path.write_text("contact\n" + "".join(f"{who}\n" for who in people))
    loaded = shop.loaded
    plan = plan_import(
        "list", path, Source(), data=loaded.data, topics=tuple(loaded.workspace.topics), rules=shop._standing_rules,
        workspace_zone="UTC", at=shop.clock.now(), into=ListWish(name, is_whole),
    )  # fmt: skip
    assert run_import(shop.store, plan).refused == 0


def test_an_audience_is_a_list(any_shop: Shop):
    """Those on it enter, the press stays out; plan and explain say why, in the same words."""
    shop = any_shop
    for name in ("ada", "bob", "cat"):
        shop.contact(name)
    lists(shop, "vips", "ada", "bob")
    lists(shop, "press", "bob")
    shop.campaign(
        "early",
        "audience: {list: vips, exclude: [{list: press}]}\nentry: {at: 2026-11-03 09:00}\njourney: [{email: early}]\n",
    )
    shop.apply()
    shop.run("early", "2026-11-03 09:00")
    assert shop.inbox == ["ada"]
    with shop.store.read() as connection:
        asked = explain(connection, load_ground(shop.store, "early", shop.clock.now()), "bob").audience
    assert [(part.asks, part.holds) for part in asked.parts] == [("on list vips", True), ("not on list press", False)]


@pytest.mark.parametrize("where", ["audience: {list: vip}", "audience: {not: {list: vip}}", "audience: {segment: few}"])
def test_a_list_on_which_nobody_stands_forbids_applying(shop: Shop, where: str, capsys: pytest.CaptureFixture[str]):
    """Misspelt it would mean nobody, or with `not` everybody; the nearest list is named."""
    shop.contact("ada")
    lists(shop, "vips", "ada")
    shop.segment("few", "{any: [{list: vip}]}")
    shop.campaign("early", f"{where}\nentry: {{at: 2026-11-03 09:00}}\njourney: [{{email: early}}]\n")
    with pytest.raises(SystemExit):
        shop.apply()
    assert 'early: nobody stands on the list "vip": did you mean "vips"?' in capsys.readouterr().err


def test_who_comes_onto_a_list_leaves_at_once_or_goes_on_at_once(any_shop: Shop):
    """An exit and a wait hear of an import, between all other instants at which anybody is due."""
    shop = any_shop
    for name in ("ada", "bob", "cat"):
        shop.contact(name)
    lists(shop, "called", "cat")
    shop.campaign(
        "calls",
        "audience: everyone\nentry: {at: 2026-11-03 09:00}\nexit_on: [{list: blocked}]\njourney:\n"
        "  - wait_for: [{if: {list: called}, then: {email: thanks}}, {after: 10d, then: {email: ask}}]\n",
    )
    lists(shop, "blocked", "cat", is_whole=True)
    shop.apply()
    shop.run("calls", "2026-11-03 09:00")
    assert shop.enrolments == {"ada": "wait_for.entry", "bob": "wait_for.entry", "cat": "list"}
    shop.at("2026-11-04 10:07")
    lists(shop, "called", "bob")
    lists(shop, "blocked", "ada")
    shop.run("calls")
    assert (shop.inbox, shop.enrolments["ada"]) == (["bob"], "list")
    assert shop.violations() == []


def test_who_comes_onto_a_list_joins_a_segment_that_asks_for_it(shop: Shop):
    """Within a quarter of an hour; leaving the list by --replace is leaving the segment."""
    for name in ("ada", "bob"):
        shop.contact(name)
    lists(shop, "gold", "ada")
    shop.segment("golden", "[{list: gold}]")
    shop.campaign("hello", "entry: {joins: golden}\njourney: [{email: hello}]\n")
    shop.campaign("bye", "entry: {leaves: golden}\njourney: [{email: bye}]\n")
    shop.apply()
    for name in ("hello", "bye"):
        shop.run(name, "2026-11-03 09:00")
    shop.at("2026-11-03 09:05")
    lists(shop, "gold", "bob", is_whole=True)
    for name in ("hello", "bye"):
        shop.run(name, "2026-11-03 09:15")
    assert [(letter.text, letter.address) for letter in shop.mail.letters] == [
        ("hello", "bob@example.com"), ("bye", "ada@example.com"),
    ]  # fmt: skip

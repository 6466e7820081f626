"""What `plan` says of an edit while people are under way, and that it comes true."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from carillon.cli.main import main
from carillon.foresight.edit import Edit, StepUnderWay, edit_of
from carillon.foresight.edit_words import edit_sentences
from carillon.foresight.hypothetical import hypothetical
from carillon.store import tables as t
from tests.shop import Shop, instant

ENTER = "audience: everyone\nentry: {event: cart_updated, again: always}\n"
MOVING = ENTER + "on_change: {move: latest}\n"


def into(shop: Shop, name: str, *people: str) -> None:
    """A minute later these people put something into their carts, and the campaign runs."""
    shop.at(shop.clock.now() + 60_000_000)
    for person in people:
        shop.event(person, "cart_updated", cart_id="c", total="1")
    shop.run(name)


def edit(shop: Shop) -> Edit | None:
    draft = shop.draft("cart")
    with shop.store.read() as connection:
        return edit_of(connection, hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now()))


def test_an_edit_tells_old_and_new_instants_and_messages_and_they_come_true(any_shop: Shop) -> None:
    any_shop.contact("ada")
    any_shop.campaign("cart", ENTER + "journey: [{wait: 2d, id: pause}, {email: old}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    assert edit(any_shop) is None
    any_shop.campaign("cart", MOVING + "journey: [{wait: 3d, id: pause}, {email: new}]\n")
    before, after = instant("2026-11-04 12:01"), instant("2026-11-05 12:01")
    step = StepUnderWay("pause", 1, 1, 1, False, (before,) * 2, (after,) * 2, {"email.new": 1}, {"email.old": 1})
    told = edit(any_shop)
    assert told == Edit((step,), ())
    assert list(edit_sentences(told, "Europe/Berlin")) == [
        "1 stands at pause (version 1): 1 goes on in the new version",
        "  due Wed 04 Nov 2026 12:01, then Thu 05 Nov 2026 12:01",
        "  + email.new for up to 1",
        "  - email.old for up to 1",
    ]
    any_shop.apply()
    any_shop.run("cart")
    assert any_shop.due("ada") == "2026-11-05 11:01"


def test_a_renamed_message_is_named_beside_the_one_that_vanished(any_shop: Shop) -> None:
    any_shop.contact("ada")
    any_shop.campaign("cart", ENTER + "journey: [{email: hi}, {wait: 1d, id: w}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.campaign("cart", ENTER + "journey: [{email: hi, id: hello}, {wait: 1d, id: w}, {wait: 1d, id: x}]\n")
    told = edit(any_shop)
    assert told is not None
    assert told.renamed == (("email.hi", "hello", 1),)


def test_apply_asks_where_people_are_under_way_and_yes_answers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal it refuses and nothing changes; `--yes` applies; texts and an unchanged campaign ask nothing."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    shop.contact("ada")
    shop.campaign("cart", ENTER + "journey: [{wait: 2d, id: pause}, {email: hi}]\n")
    shop.apply()
    into(shop, "cart", "ada")
    command = ["apply", "cart", "--no-deploy", "--now", "2026-11-02T13:00"]
    assert CliRunner().invoke(main, command).output == "cart: unchanged\n"
    shop.campaign("cart", ENTER + "journey: [{wait: 3d, id: pause}, {email: hi}]\n")
    told = json.loads(CliRunner().invoke(main, ["plan", "cart", "--json", "--now", "2026-11-02T13:00"]).output)
    assert (told[0]["edit"]["people"], told[0]["edit"]["steps"][0]["moving"]) == (1, 0)
    refused = CliRunner().invoke(main, command)
    sentence = "cart changes while 1 person is under way: say --yes to apply it. Nothing was applied."
    assert (refused.exit_code, sentence in refused.stderr, shop.count(t.version)) == (1, True, 1)
    assert CliRunner().invoke(main, [*command, "--yes"]).output == "cart: new version\n"


def test_a_vanished_folder_changes_nothing_and_apply_exits_1_until_it_is_answered(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ada is under way and gets her mail; `was:` in another campaign is an answer."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    shop.contact("ada")
    yaml = ENTER + "journey: [{wait: 1d, id: pause}, {email: hi}]\n"
    shop.campaign("cart", yaml)
    shop.campaign("other", yaml)
    shop.apply()
    into(shop, "cart", "ada")
    shutil.rmtree(shop.campaigns / "cart")
    command = ["apply", "other", "--no-deploy", "--now", "2026-11-02T13:00"]
    told = CliRunner().invoke(main, command)
    assert (told.exit_code, "cart has no folder any more and runs as applied" in told.stderr) == (1, True)
    shop.run("cart", "2026-11-03 12:01")
    assert shop.inbox == ["ada"]
    shop.campaign("basket", "was: cart\n" + yaml)
    told = CliRunner().invoke(main, ["apply", "basket", "--no-deploy", "--now", "2026-11-03T13:00"])
    assert (told.exit_code, told.stderr) == (0, "")

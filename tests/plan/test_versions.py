"""What an apply changes for people under way, and what it leaves alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from carillon.experiment.holdout import campaign_holdout
from carillon.kernel.ids import bucket, h31
from carillon.plan.applied import load_campaign
from carillon.store import tables as t
from tests.shop import Shop

ENTER = "audience: everyone\nentry: {event: cart_updated, again: always}\n"


def into(shop: Shop, name: str, *people: str) -> None:
    """A minute later these people put something into their carts, and the campaign runs."""
    shop.at(shop.clock.now() + 60_000_000)
    for person in people:
        shop.event(person, "cart_updated", cart_id="c", total="1")
    shop.run(name)


def test_people_finish_on_the_version_that_they_entered(any_shop: Shop) -> None:
    """Ada waits for one day and a text message, Bob for two and a mail."""
    any_shop.contact("ada", phone="+447700900001")
    any_shop.contact("bob", phone="+447700900002")
    any_shop.campaign("cart", ENTER + "journey: [{wait: 1d}, {sms: old}]\n")
    assert any_shop.apply() == ["new"]
    into(any_shop, "cart", "ada")
    any_shop.campaign("cart", ENTER + "journey: [{wait: 2d}, {email: new}]\n")
    assert any_shop.apply() == ["new version"]
    into(any_shop, "cart", "bob")
    any_shop.run_to("cart", "2026-11-06 00:00")
    assert any_shop.sends("sms.old") == {"ada": "accepted"}
    assert any_shop.sends("email.new") == {"bob": "accepted"}


def test_the_newest_texts_go_to_everybody_and_are_no_new_version(any_shop: Shop) -> None:
    any_shop.contact("ada")
    yaml = ENTER + "journey: [{wait: 1d}, {email: cart}]\n"
    any_shop.campaign("cart", yaml)
    any_shop.apply()
    into(any_shop, "cart", "ada")
    assert any_shop.apply() == ["unchanged"]
    any_shop.write("cart/messages/cart.yaml", "subject: better words\ntexts: {headline: Hello}\n")
    assert any_shop.apply() == ["texts"]
    any_shop.run("cart", "2026-11-03 13:00")
    assert [letter.text for letter in any_shop.mail.letters] == ["better words"]
    assert any_shop.count(t.version) == 1


def test_going_back_to_an_older_version_is_that_version_again(shop: Shop) -> None:
    shop.contact("ada")
    first, second = (ENTER + f"journey: [{{wait: {days}d}}, {{email: cart}}]\n" for days in (1, 2))
    for yaml, outcome in ((first, "new"), (second, "new version"), (first, "new version")):
        shop.campaign("cart", yaml)
        assert shop.apply() == [outcome]
    assert shop.count(t.version) == 2
    into(shop, "cart", "ada")
    assert shop.due("ada") == "2026-11-03 11:01"


def test_a_renamed_step_keeps_its_people_and_its_sends(any_shop: Shop) -> None:
    """Ada stands at the mail's wait, has had the first mail; under its new name nobody gets it twice."""
    any_shop.contact("ada")
    any_shop.contact("bob")
    any_shop.campaign("cart", ENTER + "journey: [{email: hi}, {wait: 1d, id: pause}, {email: cart, id: last}]\n")
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.campaign(
        "cart",
        ENTER
        + "journey: [{email: hi, id: hello, was: email.hi}, {wait: 1d, id: rest, was: pause}, {email: cart, id: last}]\n",
    )
    any_shop.apply()
    assert any_shop.enrolments == {"ada": "rest"}
    into(any_shop, "cart", "bob")
    assert any_shop.sends("hello") == {"ada": "accepted", "bob": "accepted"}
    any_shop.run_to("cart", "2026-11-05 00:00")
    assert any_shop.sends("last") == {"ada": "accepted", "bob": "accepted"}
    assert any_shop.inbox == ["ada", "bob", "ada", "bob"]
    assert any_shop.count(t.node) == 3


def test_a_condition_of_an_older_version_finds_the_renamed_step(any_shop: Shop) -> None:
    """The old version asks for a click on `email.hi`, which is called `hello` by the time it asks."""
    any_shop.contact("ada")
    journey = "journey: [{email: hi%s}, {wait: 1d}, {choose: [{if: {clicked: %s}, then: {exit: clicked}}, {otherwise: {exit: not}}]}]\n"
    any_shop.campaign("cart", ENTER + journey % ("", "email.hi"))
    any_shop.apply()
    into(any_shop, "cart", "ada")
    any_shop.click("ada", "email.hi")
    any_shop.campaign("cart", ENTER + (journey % (", id: hello, was: email.hi", "hello")).replace("1d", "2d"))
    any_shop.apply()
    any_shop.run("cart", "2026-11-04 00:00")
    assert any_shop.enrolments == {"ada": "clicked"}


def test_a_renamed_test_keeps_its_arms(shop: Shop) -> None:
    names = shop.people(40)
    yaml = ENTER + "journey: [{email: sale, test: {variants: [plain, personal]}%s}]\n"
    shop.campaign("cart", yaml % "")
    shop.apply()
    into(shop, "cart", *names)
    before = shop.arms("email.sale")
    shop.campaign("cart", yaml % ", id: spring, was: email.sale")
    shop.apply()
    into(shop, "cart", *names)
    assert shop.arms("spring") == before


def test_a_renamed_campaign_keeps_people_history_and_holdout(any_shop: Shop) -> None:
    """Under the new name: the same row, Ada's wait, and the same people held."""
    names = any_shop.people(60)
    yaml = "audience: everyone\nentry: {event: cart_updated, again: always}\nholdout: 20%\njourney: [{wait: 1d}, {email: cart}]\n"
    any_shop.campaign("old", yaml)
    any_shop.apply()
    into(any_shop, "old", names[0])
    any_shop.campaign("new", "was: old\n" + yaml)
    assert any_shop.apply("new") == ["texts"]
    assert any_shop.apply("new") == ["unchanged"]
    into(any_shop, "new", *names[1:])
    roles = {row[0]: row[2] for row in any_shop.ledger()["enrolment"]}
    held = {n for n in names if bucket(campaign_holdout("old"), h31(n)) < 2_000}
    assert {n for n, role in roles.items() if role == "held_campaign"} == held
    assert any_shop.count(t.campaign) == 1


def test_nothing_is_applied_where_one_campaign_cannot_be(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The second names a field that its people lack: the first is not applied either."""
    shop.contact("ada")
    shop.campaign("good", "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: a}]\n")
    shop.campaign(
        "worse",
        "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: b}]\n",
        {"b.yaml": "subject: 'Dear {{ contact.first_name }}'\ntexts: {headline: x}\n"},
    )
    with pytest.raises(SystemExit):
        shop.apply()
    assert "email.b names contact.first_name without a default, and 1 person has none" in capsys.readouterr().err
    assert shop.count(t.campaign) == 0


def _crowd(shop: Shop, n: int) -> None:
    """So many people more who stand at the wait, on the newest version."""
    with shop.store.write("ledger") as connection:
        connection.exec_driver_sql(
            f"""WITH RECURSIVE crowd(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM crowd WHERE i < {n})
            INSERT INTO ledger.enrolment (campaign_id, version_id, wave_id, contact_id, node_id, arrived_at, due_at, entered_at)
            SELECT e.campaign_id, e.version_id, e.wave_id, 1000 + i, e.node_id, e.arrived_at, e.due_at, e.entered_at
            FROM crowd, (SELECT * FROM ledger.enrolment ORDER BY id DESC LIMIT 1) e"""
        )
        connection.exec_driver_sql("ANALYZE ledger.enrolment" if shop.store.dialect == "postgresql" else "SELECT 1")


def _two_versions(shop: Shop) -> None:
    """Ada waits on the first, Bob on the second."""
    for days, name in ((1, "ada"), (2, "bob")):
        shop.contact(name)
        shop.campaign("cart", ENTER + f"journey: [{{wait: {days}d}}, {{email: hi}}]\n")
        shop.apply()
        into(shop, "cart", name)


def _read_by(shop: Shop, name: str) -> str:
    """How the store reads what it reads when the campaign is loaded."""
    asked: list[tuple[str, Any]] = []
    with shop.store.read() as connection:

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        sa.event.listen(connection, "before_cursor_execute", note)
        load_campaign(connection, name)
        sa.event.remove(connection, "before_cursor_execute", note)
        explain = "EXPLAIN QUERY PLAN " if shop.store.dialect == "sqlite" else "EXPLAIN "
        plans = [connection.exec_driver_sql(explain + sql, values).all() for sql, values in asked if "enrolment" in sql]
    return "\n".join(str(row[-1]) for plan in plans for row in plan)


def test_loading_a_campaign_asks_the_index_who_is_on_which_version(any_shop: Shop) -> None:
    """A look a step and version: neither those who are under way nor all sends are read."""
    _two_versions(any_shop)
    _crowd(any_shop, 3000)
    read = _read_by(any_shop, "cart")
    assert re.search(r"ix_enrolment_stand.*\n?.*node_id ?= ?.*version_id ?= ?", read)
    assert not re.search(r"(SCAN|Seq Scan on) (ledger\.)?(enrolment|send)", read)
    with any_shop.store.read() as connection:
        assert set(load_campaign(connection, "cart").versions) == {1, 2}


def test_loading_a_campaign_costs_the_same_however_many_are_under_way(shop: Shop) -> None:
    """SQLite counts its steps: three thousand people more on the newest version cost none more."""

    def steps() -> int:
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        with shop.store.read() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.set_progress_handler(tick, 1)
            load_campaign(connection, "cart")
            raw.set_progress_handler(None, 1)
        return count

    _two_versions(shop)
    steps()
    few = steps()
    _crowd(shop, 3000)
    assert (steps(), few > 100) == (few, True)

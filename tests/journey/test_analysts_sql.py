"""`sql:`: an analyst's query reads, in time, and says where it stands when it cannot; a campaign is held rather than wrong."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.advance.approve import approve
from carillon.audience.analyst import AnalystFault, analyst_holds, try_it
from carillon.audience.moment import ConditionError
from carillon.definition.analyst import COLUMNS, RefusedSqlError, checked
from carillon.definition.conditions import Sql
from carillon.store import tables as t
from tests.shop import Shop

BIG = "SELECT contact_id FROM events.purchase WHERE occurred_at > :now - 86400000000 GROUP BY 1 HAVING sum(value_cents) > 5000"


def test_the_words_know_the_columns_of_a_contact() -> None:
    """`check` reads no table, so the names stand there a second time."""
    assert set(t.contact.c.keys()) == COLUMNS


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM core.contact; DROP TABLE core.contact", "DELETE FROM core.contact RETURNING id",
        "WITH gone AS (DELETE FROM core.contact RETURNING id) SELECT id FROM gone", "SELECT id FROM core.contact FOR UPDATE",
        "SELECT pg_sleep(9)", 'SELECT "pg_sleep"(9)', "SELECT id INTO x FROM core.contact", "SELECT oid FROM pg_class",
        "SELECT id FROM core.contact -- all", "SELECT id FROM core.contact WHERE id = :id", "SELECT id FROM core.contact)",
        "SELECT name FROM sqlite_master", "SELECT random()", "SELECT id FROM core.contact WHERE created_at < current_timestamp",
        "SELECT set_config('a', 'b', false)", "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 1 FROM a) SELECT * FROM a",
    ],
)  # fmt: skip
def test_a_query_that_could_do_more_than_read_is_refused(text: str) -> None:
    """Nothing that writes, locks, waits, leaves the three parts, or has a clock or chance of its own."""
    with pytest.raises(RefusedSqlError, match="sql"):
        checked(text)
    with pytest.raises(ConditionError):
        analyst_holds(text, t.contact.c.id, 0)


def test_a_query_takes_who_it_yields_and_its_opposite_all_others(any_shop: Shop) -> None:
    """Orders of a day, asked at an instant that is passed in; the % of a LIKE and a null are no trouble."""
    shop = any_shop
    for name, total in (("ada", "60"), ("bob", "40"), ("cat", "60")):
        shop.contact(name)
        shop.order(name, total, "2026-11-02 11:00" if name != "cat" else "2026-10-01 11:00")
    shop.campaign("hi", "audience: everyone\nentry: {at: 2026-11-03 09:00}\njourney: [{email: hi}]\n")
    shop.apply()
    shop.run("hi")  # folds
    like = "SELECT id FROM core.contact WHERE shop_id LIKE 'b%' UNION ALL SELECT NULL"
    found = {}
    with shop.store.read() as connection:
        for text in (BIG, like):
            holds = analyst_holds(text, t.contact.c.id, shop.clock.now())
            for wanted in (holds, sa.not_(holds)):
                names = connection.scalars(sa.select(t.contact.c.shop_id).where(wanted).order_by(t.contact.c.id))
                found.setdefault(text, []).append(list(names))
    assert found == {BIG: [["ada"], ["bob", "cat"]], like: [["bob"], ["ada", "cat"]]}


@pytest.mark.parametrize(
    "text, why",
    [
        ("SELECT shop_id, id FROM core.contact", "it yields 2 columns; one is wanted, the contact's id"),
        ("SELECT id FROM core.contakt", "contakt"),
        ("SELECT contact_id FROM core.contact", "contact_id"),
        ("SELECT id + 1000 FROM core.contact", "it yields 1 row, and none is the id of a contact"),
    ],
)
def test_a_query_without_an_answer_says_where_it_stands_and_why(any_shop: Shop, text: str, why: str) -> None:
    any_shop.contact("ada")
    with pytest.raises(AnalystFault) as fault:
        try_it(any_shop.store, Sql(text, "campaigns/hi/campaign.yaml:3"), 0)
    assert str(fault.value).startswith("campaigns/hi/campaign.yaml:3: sql: ")
    assert why in str(fault.value)


def test_a_query_that_takes_too_long_is_ended(any_shop: Shop) -> None:
    """On both stores, by the database itself; the connection is good for the next question."""
    shop = any_shop
    shop.people(60)
    slow = "SELECT count(*) FROM " + ", ".join(f"core.contact AS c{n}" for n in range(6))
    with pytest.raises(AnalystFault, match=r"it took longer than 0\.2 s: ask less, or import the answer as a list"):
        try_it(shop.store, Sql(slow), 0, 0.2)
    assert try_it(shop.store, Sql("SELECT id FROM core.contact"), 0).people == 60


def test_check_refuses_it_at_its_place(shop: Shop) -> None:
    """Before any store is asked."""
    shop.campaign(
        "hi", 'audience: {sql: "SELECT pg_sleep(9)"}\nentry: {at: 2026-11-03 09:00}\njourney: [{email: hi}]\n'
    )
    with pytest.raises(AssertionError, match=r"hi/campaign\.yaml:2:17  CAR203  sql: pg_sleep lies outside of core"):
        _ = shop.loaded


def test_plan_tries_it_tells_what_it_finds_and_refuses_what_it_cannot_ask(
    any_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of the campaign, the database's word, and nothing applied."""
    from carillon.cli.opened import Opened
    from carillon.cli.plan import foresee
    from carillon.settings import Settings

    shop = any_shop
    shop.contact("ada")
    yaml = 'audience: {sql: "SELECT id FROM core.contact"}\nentry: {at: 2026-11-03 09:00}\njourney: [{email: hi}]\n'
    shop.campaign("hi", yaml)
    house = Opened(Settings(shop.folder, shop.campaigns, shop.store.url, None, {}), shop.store, shop.loaded)
    _, outlook = foresee(house, "hi", "2026-11-02T12:00")
    assert (outlook.enters, outlook.analysts[0].people) == (1, 1)
    assert outlook.analysts[0].sentence.startswith("campaigns/hi/campaign.yaml:2: sql finds 1 contact, in ")
    shop.campaign("hi", yaml.replace("core.contact", "core.contacts"))
    with pytest.raises(SystemExit):
        shop.apply()
    assert "hi: campaigns/hi/campaign.yaml:2: sql: " in capsys.readouterr().err


def test_moving_it_to_another_line_is_no_new_meaning(shop: Shop) -> None:
    yaml = 'audience: {sql: "id > 0"}\nentry: {at: 2026-11-03 09:00}\njourney: [{email: hi}]\n'
    shop.campaign("hi", yaml)
    first = shop.apply()
    shop.campaign("hi", f"title: hi\n# one line down\n{yaml}")
    assert (first, shop.apply()) == (["new"], ["unchanged"])


def test_a_campaign_whose_sql_has_no_answer_any_more_is_held_and_the_others_run(any_shop: Shop) -> None:
    """Nobody is taken for a no or a yes that the store did not say; the reason stands in status."""
    shop = any_shop
    shop.contact("ada")
    for name, exits in (("one", 'exit_on: [{sql: "SELECT id FROM core.renamed"}]\n'), ("two", "")):
        shop.campaign(
            name, f"audience: everyone\n{exits}entry: {{at: 2026-11-03 09:00}}\njourney: [{{email: {name}}}]\n"
        )
        shop.force(name)
    shop.at("2026-11-03 09:00")
    assert shop.run("two").hold_reason is None
    assert [letter.text for letter in shop.mail.letters] == ["two"]
    held = shop.run("one").hold_reason
    assert held is not None
    assert held.startswith("campaigns/one/campaign.yaml:3: sql: ")
    assert held.endswith("; correct it and apply")
    assert shop.stages == ["judge"]
    shop.campaign("one", "audience: everyone\nentry: {at: 2026-11-03 09:00}\njourney: [{email: one}]\n")
    shop.force("one")
    approve(shop.store, "one", who="ann", at=shop.clock.now())
    shop.run("one")
    assert [letter.text for letter in shop.mail.letters] == ["two", "one"]

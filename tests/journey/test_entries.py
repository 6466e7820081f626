"""Who is taken in, and when: at, every, event, api."""

from __future__ import annotations

import pytest

from carillon.kernel.clock import from_micros
from tests.shop import Shop, instant


def utc(at: int | None) -> str | None:
    return None if at is None else f"{from_micros(at):%Y-%m-%d %H:%M}"


def three_zones(shop: Shop) -> None:
    shop.contact("emil", timezone="Europe/Berlin")
    shop.contact("nora", timezone="America/New_York")
    shop.contact("yuki", timezone="Asia/Tokyo")


AT = "audience: everyone\nentry: {at: 2026-12-01 09:00%s}\njourney: [{email: hello}]\n"
MONDAYS = "audience: everyone\nentry: {every: monday, at: 10:00}\njourney: [{email: hello}]\n"
CARTS = "audience: everyone\nentry: {event: cart_updated%s}\njourney: [{email: cart}]\n"


def test_at_comes_once_on_the_workspaces_clock(shop: Shop) -> None:
    """Everybody enters at 09:00 in Berlin, wherever they live; a second run finds nobody."""
    three_zones(shop)
    shop.campaign("sale", AT % "")
    shop.apply()
    assert utc(shop.run("sale", "2026-12-01 08:59").next_due) == "2026-12-01 08:00"
    assert shop.inbox == []
    shop.run("sale", "2026-12-01 09:00")
    assert sorted(shop.inbox) == ["emil", "nora", "yuki"]
    shop.run("sale", "2026-12-01 09:30")
    assert shop.waves() == [("at", "2026-12-01T09:00:00", 3, {})]
    assert len(shop.inbox) == 3


def test_at_on_each_contacts_clock_is_one_wave_and_three_instants(any_shop: Shop) -> None:
    """Tokyo's morning comes first and freezes the audience; Berlin and New York follow at their own nine o'clock."""
    three_zones(any_shop)
    any_shop.campaign("sale", AT % ", timezone: contact")
    any_shop.apply()
    assert utc(any_shop.run("sale").next_due) == "2026-12-01 00:00"
    assert utc(any_shop.run("sale", "2026-12-01 00:00+00:00").next_due) == "2026-12-01 08:00"
    assert any_shop.inbox == ["yuki"]
    any_shop.contact("late", timezone="Europe/Berlin")
    assert utc(any_shop.run("sale", "2026-12-01 08:00+00:00").next_due) == "2026-12-01 14:00"
    assert any_shop.inbox == ["yuki", "emil"]
    any_shop.run("sale", "2026-12-01 14:00+00:00")
    assert any_shop.inbox == ["yuki", "emil", "nora"]
    assert any_shop.waves() == [("at", "2026-12-01T09:00:00", 3, {})]


def test_who_comes_too_late_does_not_enter_and_is_counted(shop: Shop) -> None:
    """Two hours is how long an `at` may be late; after that the wave is there, with everybody left out."""
    three_zones(shop)
    shop.campaign("sale", AT % "")
    shop.apply()
    shop.run("sale", "2026-12-01 11:01")
    assert (shop.inbox, shop.waves()) == ([], [("at", "2026-12-01T09:00:00", 0, {"late": 3})])


def test_lateness_is_each_contacts_own(any_shop: Shop) -> None:
    """A run at noon in Berlin is too late for Tokyo and Berlin; New York's nine o'clock is still ahead."""
    three_zones(any_shop)
    any_shop.campaign("sale", AT % ", timezone: contact")
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 12:00")
    any_shop.run("sale", "2026-12-01 14:00+00:00")
    assert any_shop.inbox == ["nora"]
    assert any_shop.waves() == [("at", "2026-12-01T09:00:00", 1, {"late": 2})]


def test_if_late_can_be_longer(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign("sale", AT % ", if_late: skip after 6h")
    shop.apply()
    shop.run("sale", "2026-12-01 14:00")
    assert shop.inbox == ["ada"]


def test_every_monday_takes_the_same_people_in_again(shop: Shop) -> None:
    """The Monday on which it was applied, after ten o'clock, is past; each later one is a wave of its own."""
    shop.contact("ada")
    shop.campaign("news", MONDAYS)
    shop.apply()
    assert utc(shop.run("news").next_due) == "2026-11-09 09:00"
    shop.run_to("news", "2026-11-20 00:00")
    assert shop.waves() == [("every", "2026-11-09", 1, {}), ("every", "2026-11-16", 1, {})]
    assert shop.inbox == ["ada", "ada"]


def test_of_missed_occurrences_only_the_newest_is_looked_at(shop: Shop) -> None:
    """Three silent weeks bring one newsletter, not three; a newest one that is too late brings none."""
    shop.contact("ada")
    shop.campaign("news", MONDAYS)
    shop.apply()
    shop.run("news", "2026-11-23 11:00")
    assert shop.waves() == [("every", "2026-11-23", 1, {})]
    shop.run("news", "2026-12-08 10:00")
    assert shop.waves()[1:] == [("every", "2026-12-07", 0, {"late": 1})]
    assert shop.inbox == ["ada"]


def test_every_month_means_its_first_day_and_days_in_a_list_are_those_days(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign("monthly", MONDAYS.replace("monday", "month"))
    shop.campaign("twice", MONDAYS.replace("monday", "[tuesday, friday]"))
    shop.apply()
    assert utc(shop.run("monthly").next_due) == "2026-12-01 09:00"
    assert utc(shop.run("twice").next_due) == "2026-11-03 09:00"
    assert utc(shop.run("twice", "2026-11-03 10:00").next_due) == "2026-11-06 09:00"


def test_nobody_enters_before_it_starts_or_after_it_ends(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign("news", "starts: 2026-11-16 00:00\nends: 2026-11-23 00:00\n" + MONDAYS)
    shop.apply()
    assert utc(shop.run("news").next_due) == "2026-11-16 09:00"
    shop.run_to("news", "2026-12-10 00:00")
    assert [ref for _, ref, _, _ in shop.waves()] == ["2026-11-16"]


def test_only_the_audience_enters_and_it_is_frozen_when_the_wave_comes(shop: Shop) -> None:
    shop.contact("ada", tier="gold")
    shop.contact("bob", tier="basic")
    shop.segment("gold", "{contact: {tier: gold}}")
    shop.campaign("sale", (AT % "").replace("everyone", "{segment: gold, exclude: [{contact: {country: FR}}]}"))
    shop.contact("zoe", tier="gold", country="FR")
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    shop.change("bob", tier="gold")
    shop.run("sale", "2026-12-01 09:10")
    assert shop.inbox == ["ada"]


def test_an_event_takes_its_contact_in_if_it_fits(any_shop: Shop) -> None:
    """`where` is asked of the event, the audience of the contact; who is not both stays outside."""
    any_shop.contact("ada")
    any_shop.contact("bob")
    any_shop.contact("cyd", tier="gold")
    any_shop.campaign(
        "cart", (CARTS % ", where: {total: {over: 20}}").replace("everyone", "{not: {contact: {tier: gold}}}")
    )
    any_shop.apply()
    any_shop.at("2026-11-02 12:10")
    any_shop.event("ada", "cart_updated", cart_id="c1", total="20.01")
    any_shop.event("bob", "cart_updated", cart_id="c2", total="20")
    any_shop.event("cyd", "cart_updated", cart_id="c3", total="99")
    any_shop.run("cart")
    assert any_shop.inbox == ["ada"]


def test_each_thing_enters_once_and_each_contact_as_often_as_there_are_things(any_shop: Shop) -> None:
    any_shop.contact("ada")
    any_shop.campaign("cart", CARTS % ", once_per: cart_id")
    any_shop.apply()
    any_shop.at("2026-11-02 12:10")
    for cart in ("c1", "c2", "c1"):
        any_shop.event("ada", "cart_updated", cart_id=cart, total="30")
    any_shop.run("cart")
    assert any_shop.inbox == ["ada", "ada"]
    any_shop.event("ada", "cart_updated", cart_id="c2", total="40")
    any_shop.run("cart", "2026-11-02 12:20")
    assert any_shop.inbox == ["ada", "ada"]
    assert any_shop.waves()[-1][2:] == (0, {"again": 1})


@pytest.mark.parametrize(("again", "second"), [("", 1), (", again: always", 2), (", again: after 3d", 1)])
def test_again_speaks_of_the_person(shop: Shop, again: str, second: int) -> None:
    """Never (the default), always, or after a while: an event a day later."""
    shop.contact("ada")
    shop.campaign("cart", CARTS % again)
    shop.apply()
    for day in ("2026-11-03 12:00", "2026-11-04 11:00"):
        shop.at(day)
        shop.event("ada", "cart_updated", cart_id="c", total="30")
        shop.run("cart")
    assert len(shop.inbox) == second


def test_again_after_three_days_holds_on_the_fourth(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign("cart", CARTS % ", again: after 3d")
    shop.apply()
    for day in ("2026-11-03 12:00", "2026-11-06 11:59", "2026-11-06 12:01"):
        shop.at(day)
        shop.event("ada", "cart_updated", cart_id="c", total="30")
        shop.run("cart")
    assert [n for _, _, n, _ in shop.waves()] == [1, 0, 1]


def test_two_carts_at_once_are_two_entries_of_one_person(any_shop: Shop) -> None:
    """`again: after 3d` beside `once_per` lets one of them in, the newer, also when both come in one run."""
    any_shop.contact("ada")
    any_shop.campaign("cart", CARTS % ", once_per: cart_id, again: after 3d")
    any_shop.apply()
    any_shop.event("ada", "cart_updated", "2026-11-02 12:05", cart_id="c1", total="30")
    any_shop.event("ada", "cart_updated", "2026-11-02 12:06", cart_id="c2", total="30")
    any_shop.run("cart", "2026-11-02 12:10")
    assert any_shop.inbox == ["ada"]
    assert [row[1] for row in any_shop.ledger()["enrolment"]] == ["c2"]


def test_what_happened_before_the_first_apply_or_too_long_ago_enrols_nobody(shop: Shop) -> None:
    for name in ("ada", "bob", "cyd"):
        shop.contact(name)
    shop.campaign("cart", CARTS % ", if_late: skip after 2h")
    shop.event("ada", "cart_updated", "2026-11-02 11:59", cart_id="c", total="30")
    shop.apply()
    shop.at("2026-11-03 12:00")
    shop.event("bob", "cart_updated", "2026-11-03 09:59", cart_id="c", total="30")
    shop.event("cyd", "cart_updated", "2026-11-03 10:00", cart_id="c", total="30")
    shop.run("cart")
    assert shop.inbox == ["cyd"]


def test_importing_history_enrols_nobody(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign("cart", CARTS % "")
    shop.apply()
    shop.at("2026-11-02 13:00")
    shop.event("ada", "cart_updated", history=True, cart_id="c", total="30")
    shop.run("cart")
    assert (shop.inbox, shop.waves()) == ([], [])


def test_the_newest_event_of_the_thing_is_the_trigger(any_shop: Shop) -> None:
    """Two updates before the run, one more during the wait: the mail speaks of the last."""
    any_shop.contact("ada")
    any_shop.campaign(
        "cart",
        "audience: everyone\nentry: {event: cart_updated, once_per: cart_id}\njourney: [{wait: 1h}, {email: cart}]\n",
        {"cart.yaml": "subject: 'cart of {{ trigger.cart_id }}, {{ trigger.total | money }}'\ntexts: {headline: Hi}\n"},
    )
    any_shop.apply()
    any_shop.event("ada", "cart_updated", "2026-11-02 12:02", cart_id="c", total="30")
    any_shop.event("ada", "cart_updated", "2026-11-02 12:01", cart_id="c", total="20")
    any_shop.run("cart", "2026-11-02 12:10")
    assert any_shop.due("ada") == "2026-11-02 12:10"
    any_shop.event("ada", "cart_updated", "2026-11-02 12:30", cart_id="c", total="55")
    any_shop.run("cart", "2026-11-02 12:40")
    any_shop.run("cart", "2026-11-02 13:10")
    assert [letter.text for letter in any_shop.mail.letters] == ["cart of c, €55.00"]


def test_an_ended_campaign_takes_nobody_in_and_lets_the_others_finish(shop: Shop) -> None:
    shop.contact("ada")
    shop.contact("bob")
    yaml = "audience: everyone\nentry: {event: cart_updated}\njourney: [{email: one}, {wait: 1d}, {email: two}]\n"
    shop.campaign("cart", yaml)
    shop.apply()
    shop.at("2026-11-02 13:00")
    shop.event("ada", "cart_updated", cart_id="c", total="1")
    shop.run("cart")
    shop.campaign("cart", "state: ended\n" + yaml)
    shop.apply()
    shop.at("2026-11-02 14:00")
    shop.event("bob", "cart_updated", cart_id="c", total="1")
    shop.run("cart", instant("2026-11-03 13:00"))
    assert shop.sends("email.two") == {"ada": "accepted"}
    assert "bob" not in shop.enrolments

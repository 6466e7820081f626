"""`expect`: a number of people that the marketer wrote down; another one is a question, in the plan and in the run."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from carillon.advance.approve import approve
from carillon.cli.main import main
from carillon.store import tables as t
from tests.shop import Shop, counted

SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}, {wait: 1d}, {email: more}]\n"


def expecting(numbers: str, rest: str = SALE) -> str:
    return f"expect: {{audience: {numbers}}}\n{rest}"


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def at_hand(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The commands find this shop."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    return shop


def test_plan_and_apply_say_no_outside_and_yes_within(at_hand: Shop) -> None:
    at_hand.people(5)
    at_hand.campaign("sale", expecting("6-9"))
    sentence = "5 people would enter, 6–9 are expected (expect: in campaign.yaml)"
    result = call("plan", "--now", "2026-11-30T09:00", "--json")
    (planned,) = json.loads(result.output)
    assert (result.exit_code, planned["blocking"], planned["expected"]) == (1, [sentence], [6, 9])
    refused = call("apply", "sale", "--no-deploy", "--now", "2026-11-30T09:00")
    assert (refused.exit_code, sentence in refused.stderr, at_hand.count(t.campaign)) == (1, True, 0)
    at_hand.people(1, prefix="q")
    result = call("plan", "--now", "2026-11-30T09:00")
    assert (result.exit_code, "enter (6–9 are expected)" in result.output) == (0, True)


def test_a_wave_outside_holds_before_the_first_hand_over_and_goes_on_with_a_yes(any_shop: Shop) -> None:
    """Fewer is a question as more is: an import that failed sends a tenth of a newsletter."""
    any_shop.people(4)
    any_shop.campaign("sale", expecting("4-5"))
    any_shop.apply()
    any_shop.people(2, prefix="q")
    told = any_shop.run("sale", "2026-12-01 09:00")
    assert told.hold_reason == "6 people entered, 4–5 were expected"
    assert (any_shop.inbox, any_shop.count(t.send)) == ([], 0)
    done = approve(any_shop.store, "sale", who="ann", at=any_shop.clock.now())
    assert (done.waves, done.sentence) == (("at:2026-12-01T09:00:00",), "approved the wave at 2026-12-01T09:00:00")
    any_shop.run("sale", "2026-12-01 15:00")
    assert len(any_shop.inbox) == 6


def test_nobody_where_somebody_was_expected_is_a_question(shop: Shop) -> None:
    shop.contact("ada", tier="gold")
    shop.campaign("sale", expecting("1-5", SALE.replace("everyone", "{contact: {tier: gold}}")))
    shop.apply()
    shop.change("ada", tier="basic")
    assert shop.run("sale", "2026-12-01 09:00").hold_reason == "0 people entered, 1–5 were expected"
    approve(shop.store, "sale", who="ann", at=shop.clock.now())
    assert shop.run("sale", "2026-12-01 10:00").hold_reason is None


def test_a_yes_is_of_its_wave_alone(any_shop: Shop) -> None:
    """The next Tuesday, outside as well, is asked about anew; one within is not."""
    weekly = "audience: everyone\nentry: {every: tuesday, at: 09:00}\njourney: [{email: news}]\n"
    any_shop.people(2)
    any_shop.at("2026-12-01 08:00")
    any_shop.campaign("weekly", expecting("1-2", weekly))
    any_shop.apply()
    any_shop.people(1, prefix="q")
    assert any_shop.run("weekly", "2026-12-01 09:00").hold_reason == "3 people entered, 1–2 were expected"
    approve(any_shop.store, "weekly", who="ann", at=any_shop.clock.now())
    any_shop.run("weekly", "2026-12-01 09:01")
    assert len(any_shop.inbox) == 3
    assert any_shop.run("weekly", "2026-12-08 09:00").hold_reason == "3 people entered, 1–2 were expected"
    assert len(any_shop.inbox) == 3


def test_who_said_yes_to_so_many_is_not_asked_about_them_again(shop: Shop) -> None:
    """Twice the plan is a question once: the number that was approved is what the next waves are compared with."""
    shop.people(1)
    shop.at("2026-12-01 08:00")
    shop.campaign("weekly", "audience: everyone\nentry: {every: tuesday, at: 09:00}\njourney: [{email: news}]\n")
    shop.apply()
    shop.people(4, prefix="q")
    assert shop.run("weekly", "2026-12-01 09:00").hold_reason == "5 people entered, 1 were planned"
    approve(shop.store, "weekly", who="ann", at=shop.clock.now())
    shop.run("weekly", "2026-12-01 09:01")
    assert shop.run("weekly", "2026-12-08 09:00").hold_reason is None
    assert len(shop.inbox) == 10


def test_twice_the_plan_is_a_question_within_what_is_expected_too(shop: Shop) -> None:
    shop.people(1)
    shop.campaign("sale", expecting("1-100"))
    shop.apply()
    shop.people(4, prefix="q")
    assert shop.run("sale", "2026-12-01 09:00").hold_reason == "5 people entered, 1 were planned"


def test_a_wave_that_has_passed_is_not_asked_about_again(shop: Shop) -> None:
    """Other texts after the send: nobody would enter any more, and that is no reason to refuse them."""
    shop.people(3)
    shop.campaign("sale", expecting("2-4"))
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    shop.at("2026-12-01 10:00")
    shop.campaign("sale", expecting("2-4"), {"more.yaml": "subject: another\ntexts: {headline: Hello}\n"})
    assert shop.apply() == ["texts"]
    shop.run_to("sale", "2026-12-02 09:00")
    assert counted(shop.sends("email.more")) == {"accepted": 3}


def test_a_brake_that_stops_an_approved_campaign_wants_its_own_yes(shop: Shop) -> None:
    """The yes to what it means was said by a person who had not seen this number."""
    shop.people(2)
    shop.campaign("sale", "approval: {by: [head@acme.example]}\n" + SALE)
    shop.apply()
    approve(shop.store, "sale", who="head@acme.example", at=shop.clock.now())
    shop.people(3, prefix="q")
    assert shop.run("sale", "2026-12-01 09:00").hold_reason == "5 people entered, 2 were planned"
    approve(shop.store, "sale", who="head@acme.example", at=shop.clock.now())
    shop.run("sale", "2026-12-01 09:10")
    assert len(shop.inbox) == 5

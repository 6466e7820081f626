"""What an apply changes for people under way, and what it leaves alone."""

from __future__ import annotations

import pytest

from carillon.experiment.holdout import campaign_holdout
from carillon.kernel.ids import bucket, h31
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
    assert "email.b names contact.first_name without a default, and 1 people have none" in capsys.readouterr().err
    assert shop.count(t.campaign) == 0

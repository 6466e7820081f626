"""Exit is immediate: by events, by a changed field, and at the claim (language.md §3.3)."""

from __future__ import annotations

from carillon.advance.listen import listen
from carillon.delivery.reserve import reserve
from carillon.journey.ground import load_ground
from carillon.journey.move import move
from tests.shop import Shop

CAMPAIGN = "audience: everyone\nentry: {at: 2026-12-01 09:00}\n"


def start(shop: Shop, exit_on: str, journey: str = "[{wait: 5d}, {email: sale}]") -> None:
    for name in ("ada", "bob"):
        shop.contact(name, tier="basic")
    shop.campaign("sale", f"{CAMPAIGN}exit_on: {exit_on}\njourney: {journey}\n")
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")


def test_a_changed_field_ends_the_journey_when_it_changes(any_shop: Shop) -> None:
    """Long before the wait is over; a change that makes nothing true ends nothing."""
    start(any_shop, "[{contact: {tier: gold}}]")
    any_shop.at("2026-12-02 09:00")
    any_shop.change("ada", tier="gold")
    any_shop.change("bob", tier="silver")
    any_shop.run("sale")
    assert any_shop.enrolments == {"ada": "tier", "bob": "wait.entry"}


def test_a_field_that_holds_at_entry_is_asked_when_the_message_falls_due(any_shop: Shop) -> None:
    any_shop.contact("eve", tier="gold")
    start(any_shop, "[{contact: {tier: gold}}]")
    any_shop.run("sale", "2026-12-06 09:00")
    assert any_shop.enrolments["eve"] == "tier"
    assert sorted(any_shop.inbox) == ["ada", "bob"]


def test_a_field_that_changes_between_the_decision_and_the_claim_is_obeyed(any_shop: Shop) -> None:
    start(any_shop, "[{contact: {tier: gold}}]")
    any_shop.at("2026-12-06 09:00")
    news = iter([True])

    def connectors() -> dict[str, object]:
        if next(news, False):
            any_shop.change("ada", tier="gold")
        return {post.name: post for post in (any_shop.mail, any_shop.texts)}

    any_shop.run("sale", connectors=connectors)  # type: ignore[arg-type]
    assert any_shop.inbox == ["bob"]
    assert any_shop.sends("email.sale") == {"ada": "exited", "bob": "accepted"}
    assert any_shop.enrolments == {"ada": "tier", "bob": "finished"}


def test_a_worker_that_helps_obeys_what_came_in_before_its_claim(any_shop: Shop) -> None:
    """It hands over a batch of a campaign that it does not run: who ordered or changed since it was decided is left out."""
    any_shop.contact("eve")
    start(any_shop, "[{event: order_completed}, {contact: {tier: gold}}]")
    any_shop.at("2026-12-06 09:00")
    ground = load_ground(any_shop.store, "sale", any_shop.clock.now())
    move(ground)
    reserve([ground], max_people={})
    any_shop.order("ada")
    any_shop.change("bob", tier="gold")
    listen(any_shop.store, any_shop.clock.now())
    assert any_shop.sends("email.sale") == {"ada": "exited", "bob": "exited", "eve": "ready"}
    assert any_shop.violations() == []


def test_one_of_a_list_suffices_and_all_in_one_means_all(any_shop: Shop) -> None:
    """`[{all: [a, b]}, c]`: an order alone ends nothing, with the emptied cart it does; the click alone does."""
    start(
        any_shop,
        "[{all: [{event: order_completed}, {event: cart_emptied}]}, {clicked: sale}]",
        "[{email: sale}, {wait: 9d}, {email: more}]",
    )
    any_shop.at("2026-12-02 09:00")
    any_shop.order("ada")
    any_shop.run("sale")
    assert any_shop.enrolments == {"ada": "wait.email.sale", "bob": "wait.email.sale"}
    any_shop.event("ada", "cart_emptied", cart_id="c")
    any_shop.click("bob", "email.sale", "2026-12-02 09:00")
    any_shop.run("sale", "2026-12-02 10:00")
    assert any_shop.enrolments == {"ada": "all", "bob": "clicked"}


def test_what_time_alone_makes_true_is_asked_when_a_message_falls_due(any_shop: Shop) -> None:
    """Silent for three days: nobody hears of it, so it is asked before the message."""
    start(any_shop, "[{event: cart_updated, in_last: 3d, count: 0}]")
    any_shop.event("ada", "cart_updated", "2026-12-05 09:00", cart_id="c", total="1")
    any_shop.run("sale", "2026-12-06 09:00")
    assert any_shop.enrolments["bob"] == "cart_updated"
    assert any_shop.inbox == ["ada"]

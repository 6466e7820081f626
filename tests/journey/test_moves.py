"""Waits, forks, exits: where people stand, until when, and how they leave."""

from __future__ import annotations

import pytest

from tests.shop import Shop, counted

ENTER = "audience: everyone\nentry: {event: cart_updated, again: always}\n"


def start(shop: Shop, journey: str, name: str = "cart", more: str = "", at: str = "2026-11-02 12:10") -> None:
    """A campaign that is entered by a cart; ada enters it."""
    shop.contact("ada", phone="+447700900001")
    shop.campaign(name, f"{more}{ENTER}journey:\n{journey}")
    shop.apply()
    shop.at(at)
    shop.event("ada", "cart_updated", cart_id="c1", total="30")
    shop.run(name)


@pytest.mark.parametrize(
    ("wait", "due"),
    [
        ("90s", "2026-11-02 11:11"),
        ("3d", "2026-11-05 11:10"),
        ("1mo", "2026-12-02 11:10"),
        ("{days: 1, at: 09:00}", "2026-11-03 09:00"),
        ("{days: 0, at: 23:30}", "2026-11-02 23:30"),
        ("{until: friday, at: 09:00}", "2026-11-06 09:00"),
        ("{until: monday, at: 18:00}", "2026-11-02 18:00"),
        ("{until: monday, at: 11:00}", "2026-11-09 11:00"),
        ("{until: 2026-12-24 18:00}", "2026-12-24 18:00"),
    ],
)
def test_waits_end_on_the_contacts_clock(shop: Shop, wait: str, due: str) -> None:
    """Ada lives in London (UTC); the run is at 12:10 in Berlin, which is 11:10 there."""
    start(shop, f"  - wait: {wait}\n  - email: cart\n")
    assert (shop.due("ada"), shop.inbox) == (due, [])


def test_a_wait_over_the_change_of_the_clock_is_exact_hours_and_days_are_the_calendars(shop: Shop) -> None:
    """24 hours from Saturday noon in Berlin end on Sunday at 11:00, since the clock went back; `days: 1` ends at noon."""
    shop.clock.at = 0
    shop.at("2026-10-20 12:00")
    shop.contact("bob", timezone="Europe/Berlin")
    shop.campaign("hours", f"{ENTER}journey: [{{wait: 24h}}, {{email: cart}}]\n")
    shop.campaign("days", f"{ENTER}journey: [{{wait: {{days: 1, at: 12:00}}}}, {{email: cart}}]\n")
    shop.apply()
    shop.at("2026-10-24 12:00")
    shop.event("bob", "cart_updated", cart_id="c", total="1")
    shop.run("hours")
    assert shop.due("bob") == "2026-10-25 10:00"
    shop.run("days")
    assert shop.due("bob") == "2026-10-25 11:00"


def test_who_comes_after_the_instant_goes_on_or_out(any_shop: Shop) -> None:
    """`until` an instant that is past: exit is the rule, `if_past: go_on` the exception."""
    start(any_shop, "  - wait: {until: 2026-11-02 09:00}\n  - email: cart\n", "out")
    assert any_shop.enrolments == {"ada": "date_past"}
    any_shop.campaign("on", ENTER + "journey: [{wait: {until: 2026-11-02 09:00, if_past: go_on}}, {email: on}]\n")
    any_shop.apply("on")
    any_shop.at("2026-11-02 12:20")
    any_shop.event("ada", "cart_updated", cart_id="c2", total="30")
    any_shop.run("on")
    assert any_shop.sends("email.on") == {"ada": "accepted"}


def test_a_late_run_moves_nobodys_waits(shop: Shop) -> None:
    """The first wait was over at 13:10; the run comes at 15:00, and the second is counted from 13:10."""
    start(shop, "  - wait: 1h\n  - {wait: 4h, id: longer}\n  - email: cart\n")
    shop.run("cart", "2026-11-02 15:00")
    assert shop.due("ada") == "2026-11-02 16:10"


def test_what_follows_a_message_counts_from_its_hand_over(shop: Shop) -> None:
    """Due at 13:10, handed over by a run at 14:00: the wait of two hours ends at 16:00."""
    start(shop, "  - wait: 1h\n  - email: cart\n  - wait: 2h\n  - sms: more\n")
    shop.run("cart", "2026-11-02 14:00")
    assert shop.due("ada") == "2026-11-02 15:00"


def test_the_first_branch_that_holds_is_taken_and_falls_through_to_what_follows(any_shop: Shop) -> None:
    """Gold and rich is gold; rich alone the second; nobody's branch is `otherwise`; all but the exit get the last mail."""
    any_shop.contact("gold", tier="gold", points=900)
    any_shop.contact("rich", tier="basic", points=900)
    any_shop.contact("poor", tier="basic", points=1)
    any_shop.campaign(
        "sale",
        """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - choose:
      - {if: {contact: {tier: gold}}, then: {email: one}}
      - {if: {contact: {points: {over: 500}}}, then: [{email: two}]}
      - otherwise: {exit: poor}
  - email: last
""",
    )
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    assert any_shop.sends("email.one") == {"gold": "accepted"}
    assert any_shop.sends("email.two") == {"rich": "accepted"}
    assert any_shop.sends("email.last") == {"gold": "accepted", "rich": "accepted"}
    assert any_shop.enrolments == {"gold": "finished", "rich": "finished", "poor": "poor"}


def test_a_click_is_answered_where_it_is_asked(any_shop: Shop) -> None:
    any_shop.contact("ada")
    any_shop.contact("bob")
    any_shop.contact("eve")
    any_shop.campaign(
        "sale",
        """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - email: sale
  - wait: 1d
  - choose:
      - {if: {clicked: sale}, then: {exit: interested}}
      - {if: {opened: sale}, then: {email: opened}}
      - otherwise: {email: again}
""",
    )
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.click("ada", "email.sale", "2026-12-01 12:00")
    any_shop.open("bob", "email.sale", "2026-12-01 12:00")
    any_shop.run("sale", "2026-12-02 09:00")
    assert any_shop.enrolments["ada"] == "interested"
    assert any_shop.sends("email.opened") == {"bob": "accepted"}
    assert any_shop.sends("email.again") == {"eve": "accepted"}


def test_a_split_is_sticky_measured_and_keeps_its_shares(any_shop: Shop) -> None:
    """3,000 people, one in ten; the same people whenever they come again."""
    any_shop.people(600)
    any_shop.campaign(
        "news",
        """\
audience: everyone
entry: {every: day, at: 09:00}
journey:
  - split:
      few: {share: 10%, then: {email: few}}
      many: {then: {email: many}}
""",
    )
    any_shop.apply()
    any_shop.run("news", "2026-11-03 09:00")
    first = set(any_shop.sends("email.few"))
    assert 40 <= len(first) <= 80
    assert len(any_shop.sends("email.many")) == 600 - len(first)
    any_shop.run("news", "2026-11-04 09:00")
    assert set(any_shop.sends("email.few")) == first
    assert counted(any_shop.enrolments) == {"finished": 600}


def test_the_goal_ends_the_journey_wherever_one_stands(shop: Shop) -> None:
    """An order during the wait: out at the next advance, and the second mail never goes."""
    start(
        shop,
        "  - email: cart\n  - wait: 1d\n  - sms: more\n",
        more="goal: {event: order_completed, within: 3d}\nexit_on: [goal]\n",
    )
    shop.order("ada", at="2026-11-02 15:00")
    stages = shop.run("cart", "2026-11-02 16:00").stages
    assert shop.enrolments == {"ada": "goal"}
    assert {s.title: dict(s.counts) for s in stages}["exit"] == {"goal": 1}
    shop.run("cart", "2026-11-03 13:00")
    assert shop.texts.letters == []


def test_an_order_before_entry_is_no_goal(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign(
        "cart",
        ENTER + "goal: {event: order_completed, within: 3d}\nexit_on: [goal]\njourney: [{wait: 1h}, {email: cart}]\n",
    )
    shop.apply()
    shop.order("ada", at="2026-11-02 12:05")
    shop.at("2026-11-02 12:10")
    shop.event("ada", "cart_updated", cart_id="c", total="1")
    shop.run("cart")
    shop.run("cart", "2026-11-02 13:10")
    assert shop.inbox == ["ada"]


def test_the_same_thing_must_be_bought(any_shop: Shop) -> None:
    """Two carts, one is bought: its enrolment ends, the other goes on; an event without the field ends none."""
    any_shop.contact("ada")
    any_shop.campaign(
        "cart",
        """\
audience: everyone
entry: {event: cart_updated, once_per: cart_id}
goal: {event: order_completed, same: cart_id, within: 3d}
exit_on: [goal, {event: cart_emptied, same: cart_id}]
journey: [{wait: 1h}, {email: cart}]
""",
    )
    any_shop.apply()
    any_shop.at("2026-11-02 12:10")
    for cart in ("c1", "c2", "c3"):
        any_shop.event("ada", "cart_updated", cart_id=cart, total="30")
    any_shop.run("cart")
    any_shop.at("2026-11-02 12:30")
    any_shop.order("ada", cart_id="c1")
    any_shop.order("ada")
    any_shop.event("ada", "cart_emptied", cart_id="c3")
    any_shop.run("cart")
    assert sorted((row[1], row[4] or row[8]) for row in any_shop.ledger()["enrolment"]) == [
        ("c1", "goal"),
        ("c2", "wait.entry"),
        ("c3", "cart_emptied"),
    ]
    any_shop.run("cart", "2026-11-02 13:10")
    assert any_shop.inbox == ["ada"]


def test_who_bought_between_entry_and_a_late_run_gets_nothing(shop: Shop) -> None:
    """The wave came at nine, the order at half past nine, the run at ten: nobody is written to who has just bought."""
    shop.contact("ada")
    shop.contact("bob")
    shop.campaign(
        "sale",
        "audience: everyone\nentry: {at: 2026-12-01 09:00}\ngoal: {event: order_completed, within: 3d}\nexit_on: [goal]\n"
        "journey: [{email: sale}]\n",
    )
    shop.apply()
    shop.at("2026-12-01 10:00")
    shop.order("ada", at="2026-12-01 09:30")
    shop.run("sale")
    assert (shop.inbox, shop.enrolments) == (["bob"], {"ada": "goal", "bob": "finished"})


def test_an_event_that_comes_between_decision_and_claim_is_obeyed(any_shop: Shop) -> None:
    """Everything is decided and ready; the order is committed before the claim: no mail."""
    any_shop.contact("ada")
    any_shop.contact("bob")
    any_shop.campaign(
        "sale",
        "audience: everyone\nentry: {at: 2026-12-01 09:00}\ngoal: {event: order_completed, within: 3d}\nexit_on: [goal]\n"
        "journey: [{email: sale}]\n",
    )
    any_shop.apply()
    any_shop.at("2026-12-01 09:01")
    real, posts = any_shop.engine.make_connectors, []

    def order_first():
        any_shop.order("ada")
        posts.append(1)
        return real()

    any_shop.run("sale", connectors=order_first)
    assert len(posts) == 1
    assert any_shop.inbox == ["bob"]
    assert any_shop.enrolments == {"ada": "goal", "bob": "finished"}
    assert any_shop.sends("email.sale") == {"ada": "exited", "bob": "accepted"}


def test_api_takes_in_whom_it_is_called_for_once_a_key(shop: Shop) -> None:
    shop.contact("ada")
    shop.contact("bob")
    shop.campaign("hello", "audience: everyone\nentry: {api: true}\njourney: [{email: hi}]\n")
    shop.apply()
    shop.at("2026-11-02 12:10")
    shop.enter("ada", "hello", "k1")
    shop.enter("ada", "hello", "k1")
    shop.run("hello")
    assert shop.inbox == ["ada"]

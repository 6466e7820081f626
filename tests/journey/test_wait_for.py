"""`wait_for`: the first of several things that happens after arrival wins (language.md §2)."""

from __future__ import annotations

from carillon.advance.attend import Seen, concerned, newest_seen
from carillon.advance.heard import heard_kinds
from carillon.feedback.fold import fold
from carillon.foresight.explain import explain
from carillon.journey.ground import load_ground
from tests.shop import Interrupted, Shop

SALE = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - email: sale
  - wait_for:
      - {if: {event: order_completed}, then: {email: thanks}}
      - {if: {clicked: sale}, then: {email: still_there}}
      - {after: 3d, then: {email: last_call}}
  - email: bye
"""


def sale(shop: Shop, yaml: str = SALE, **messages: str) -> None:
    shop.campaign("sale", yaml, {file.replace("__", "."): text for file, text in messages.items()})
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")


def test_the_first_outcome_that_happens_after_arrival_wins(any_shop: Shop) -> None:
    """Ada orders and then clicks, bob clicks and then orders, eve does nothing in time; who ordered before it counts nothing."""
    for name in ("ada", "bob", "eve", "joe"):
        any_shop.contact(name)
    sale(any_shop, SALE.replace("  - email: sale", "  - wait: 1h\n  - email: sale"))
    any_shop.order("joe", at="2026-12-01 09:30")
    any_shop.run("sale", "2026-12-01 10:00")
    any_shop.order("ada", at="2026-12-01 11:00")
    any_shop.click("ada", "email.sale", "2026-12-01 12:00")
    any_shop.click("bob", "email.sale", "2026-12-01 11:00")
    any_shop.order("bob", at="2026-12-01 12:00")
    any_shop.run("sale", "2026-12-01 13:00")
    assert any_shop.standing("wait_for.email.sale") == ["eve", "joe"]
    any_shop.run("sale", "2026-12-04 10:00")
    assert any_shop.sends("email.thanks") == {"ada": "accepted"}
    assert any_shop.sends("email.still_there") == {"bob": "accepted"}
    assert any_shop.sends("email.last_call") == {"eve": "accepted", "joe": "accepted"}
    assert len(any_shop.sends("email.bye")) == 4


def test_an_outcome_has_its_own_instant_however_late_the_run(any_shop: Shop) -> None:
    """The order of 11:00 is looked at two days later: the wait of three days behind it ends three days after the order."""
    any_shop.contact("ada")
    any_shop.contact("bob")
    sale(any_shop, SALE.replace("then: {email: thanks}", "then: [{wait: 3d}, {email: thanks}]"))
    any_shop.order("ada", at="2026-12-01 11:00")
    any_shop.run("sale", "2026-12-03 15:00")
    assert any_shop.due("ada") == "2026-12-04 10:00"
    any_shop.order("bob", at="2026-12-04 09:01")
    any_shop.run("sale", "2026-12-05 12:00")
    assert any_shop.sends("email.last_call") == {"bob": "accepted"}, "an order a minute after the three days is late"


def test_one_event_in_the_short_form(any_shop: Shop) -> None:
    """`{event, where, same, within}` with `then` and `otherwise` beside it; the same cart counts, another does not."""
    for name in ("ada", "bob"):
        any_shop.contact(name)
    any_shop.campaign(
        "cart",
        """\
audience: everyone
entry: {event: cart_updated, once_per: cart_id}
journey:
  - wait_for: {event: order_completed, same: cart_id, where: {total: {over: 20}}, within: 2d}
    then: {email: thanks}
    otherwise: {email: cart}
""",
    )
    any_shop.apply()
    any_shop.at("2026-11-02 12:10")
    for name in ("ada", "bob"):
        any_shop.event(name, "cart_updated", cart_id="c1", total="30")
    any_shop.run("cart")
    any_shop.at("2026-11-02 13:00")
    any_shop.order("ada", "30", cart_id="c1")
    any_shop.order("bob", "30", cart_id="c2")
    any_shop.order("bob", "20", cart_id="c1")
    any_shop.run("cart")
    assert any_shop.sends("email.thanks") == {"ada": "accepted"}
    any_shop.run("cart", "2026-11-04 12:10")
    assert any_shop.sends("email.cart") == {"bob": "accepted"}


def test_the_trigger_itself_ends_no_wait(any_shop: Shop) -> None:
    """Who entered by an order waits for the next one: what happened at arrival is not after it."""
    any_shop.contact("ada")
    any_shop.campaign(
        "again",
        """\
audience: everyone
entry: {event: order_completed}
journey:
  - wait_for: {event: order_completed, within: 30d}
    then: {email: thanks}
    otherwise: {email: back}
""",
    )
    any_shop.apply()
    any_shop.at("2026-11-02 12:10")
    any_shop.order("ada")
    any_shop.run("again")
    assert any_shop.standing("wait_for.entry") == ["ada"]
    any_shop.at("2026-11-02 12:11")
    any_shop.order("ada")
    any_shop.run("again")
    assert any_shop.sends("email.thanks") == {"ada": "accepted"}


def test_the_answer_is_the_event_that_ended_the_last_wait_for(any_shop: Shop) -> None:
    """Its fields stand in conditions and in messages; a wait that time ended leaves none."""
    for name in ("ada", "bob", "eve"):
        any_shop.contact(name)
    sale(
        any_shop,
        """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - wait_for: {event: order_completed, within: 10d}
    then:
      - choose:
          - {if: {answer: {total: {over: 50}}}, then: {email: thanks}}
          - otherwise: {exit: little}
  - wait_for: {event: cart_emptied, within: 1d}
    id: second
  - choose:
      - {if: {answer: {cart_id: {exists: true}}}, then: {exit: emptied}}
      - otherwise: {exit: silent}
""",
        thanks__yaml='subject: "Order {{ answer.order_id }} of {{ answer.total }}"\ntexts: {headline: Hello}\n',
    )
    any_shop.at("2026-12-02 09:00")
    any_shop.order("ada", "80", order_id="o1")
    any_shop.order("bob", "8", order_id="o2")
    any_shop.run("sale")
    assert [letter.text for letter in any_shop.mail.letters] == ["Order o1 of 80.00"]
    any_shop.at("2026-12-02 10:00")
    any_shop.event("ada", "cart_emptied", cart_id="c1")
    any_shop.run("sale", "2026-12-11 12:00")
    assert any_shop.enrolments == {"ada": "emptied", "bob": "little", "eve": "second"}
    any_shop.run("sale", "2026-12-20 09:00")
    assert any_shop.enrolments["eve"] == "silent"


def test_a_changed_field_ends_a_wait_when_it_changes_and_one_that_holds_ends_it_on_arrival(any_shop: Shop) -> None:
    """Ada is gold already, bob becomes it while he waits; nobody else's change wakes eve."""
    any_shop.contact("ada", tier="gold")
    any_shop.contact("bob", tier="basic")
    any_shop.contact("eve", tier="basic")
    sale(any_shop, SALE.replace("{event: order_completed}", "{contact: {tier: gold}}"))
    assert any_shop.sends("email.thanks") == {"ada": "accepted"}
    any_shop.at("2026-12-01 12:00")
    any_shop.change("bob", tier="gold")
    any_shop.change("eve", points=3)
    any_shop.run("sale")
    assert any_shop.sends("email.thanks") == {"ada": "accepted", "bob": "accepted"}
    assert any_shop.due("eve") == "2026-12-04 08:00"


def test_what_time_alone_makes_true_is_asked_every_quarter_of_an_hour(any_shop: Shop) -> None:
    """Silent for two hours: true at 11:00, since the last cart was at 09:00; no event says so."""
    any_shop.contact("ada")
    sale_at = SALE.replace("{event: order_completed}", "{any: [{event: cart_updated, in_last: 2h, count: 0}]}")
    any_shop.campaign("sale", sale_at)
    any_shop.apply()
    any_shop.at("2026-12-01 08:59")
    any_shop.event("ada", "cart_updated", cart_id="c", total="1")
    any_shop.run("sale", "2026-12-01 09:00")
    assert any_shop.due("ada") == "2026-12-01 08:15"
    any_shop.run("sale", "2026-12-01 10:45")
    assert any_shop.sends("email.thanks") == {}
    any_shop.run("sale", "2026-12-01 11:00")
    assert any_shop.sends("email.thanks") == {"ada": "accepted"}


def test_all_of_several_and_a_count_happen_with_the_last_of_them(any_shop: Shop) -> None:
    """Two orders and a click: at the later of the second order and the click."""
    any_shop.contact("ada")
    yaml = SALE.replace(
        "{if: {event: order_completed}, then: {email: thanks}}",
        "{if: [{event: order_completed, count: {at_least: 2}}, {clicked: sale}], then: [{wait: 1d}, {email: thanks}]}",
    ).replace("      - {if: {clicked: sale}, then: {email: still_there}}\n", "")
    sale(any_shop, yaml)
    any_shop.order("ada", at="2026-12-01 10:00")
    any_shop.click("ada", "email.sale", "2026-12-01 11:00")
    any_shop.run("sale", "2026-12-01 12:00")
    assert any_shop.standing("wait_for.email.sale") == ["ada"]
    any_shop.order("ada", at="2026-12-01 12:30")
    any_shop.order("ada", at="2026-12-01 14:30")
    any_shop.run("sale", "2026-12-01 15:00")
    assert any_shop.due("ada") == "2026-12-02 11:30"


def test_two_branches_about_the_same_field_are_two(any_shop: Shop) -> None:
    """Both ask for points: who has few goes the second way, not the first of the same name."""
    any_shop.contact("rich", points=900)
    any_shop.contact("poor", points=200)
    any_shop.campaign(
        "sale",
        """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - choose:
      - {if: {contact: {points: {over: 500}}}, then: {email: one}}
      - {if: {contact: {points: {over: 100}}}, then: {email: two}}
      - otherwise: {exit: none}
""",
    )
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    assert (any_shop.sends("email.one"), any_shop.sends("email.two")) == ({"rich": "accepted"}, {"poor": "accepted"})


def test_an_interrupted_wait_for_ends_in_the_same_rows(any_shop: Shop) -> None:
    """Killed before each of its transactions in turn, an advance that is run again moves everybody once."""
    for name in ("ada", "bob", "eve"):
        any_shop.contact(name)
    sale(any_shop)
    any_shop.order("ada", at="2026-12-01 11:00")
    any_shop.click("bob", "email.sale", "2026-12-01 11:00")
    any_shop.at("2026-12-01 12:00")
    for number in range(30):
        try:
            any_shop.run("sale", stop_before=number)
        except Interrupted:
            continue
        break
    assert number > 5
    assert any_shop.sends("email.thanks") == {"ada": "accepted"}
    assert any_shop.sends("email.still_there") == {"bob": "accepted"}
    assert any_shop.standing("wait_for.email.sale") == ["eve"]


def test_whoever_waits_is_heard_of_at_once(shop: Shop) -> None:
    """An order, a click and a field that the wait looks at concern the campaign; what it does not look at does not."""
    shop.contact("ada")
    sale(
        shop,
        SALE.replace("{if: {clicked: sale}", "{if: {contact: {tier: gold}}, then: []}\n      - {if: {clicked: sale}"),
    )
    engine = shop.engine

    def concerns(before: Seen) -> bool:
        fold(shop.store, shop.clock.now(), heard=heard_kinds(shop.store))
        return bool(concerned(engine, before, newest_seen(engine)))

    seen = newest_seen(engine)
    shop.change("ada", points=4)
    assert not concerns(seen)
    shop.change("ada", tier="gold")
    assert concerns(seen)
    seen = newest_seen(engine)
    shop.click("ada", "email.sale", "2026-12-01 11:00")
    assert concerns(seen)
    seen = newest_seen(engine)
    shop.order("ada")
    assert concerns(seen)


def test_explain_tells_what_is_waited_for(shop: Shop) -> None:
    """It says which branch was taken and when."""
    shop.contact("ada")
    sale(shop)
    shop.order("ada", at="2026-12-01 11:00")
    shop.run("sale", "2026-12-01 12:00")
    with shop.store.read() as connection:
        told = explain(connection, load_ground(shop.store, "sale", shop.clock.now()), "ada")
    assert "took event.order_completed" in [h.what for h in told.ways[0].happenings]

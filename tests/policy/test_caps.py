"""Caps: nobody gets more than the house allows, across campaigns, whatever was late."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.delivery.protocol import Rejected
from carillon.delivery.release import withdraw
from carillon.delivery.reserve import reserve
from carillon.feedback.fold import fold
from carillon.foresight.hypothetical import hypothetical
from carillon.foresight.outlook import outlook
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.store import tables as t
from tests.shop import Shop

EVENT = "entry: {event: cart_updated, again: always}\njourney:\n  - email: hello\n"


def caps(*lines: str, more: str = "") -> str:
    return "limits:\n  caps:\n" + "".join(f"    - {{{line}}}\n" for line in lines) + more


def house(shop: Shop, limits: str, *names: str, campaign: str = EVENT) -> Shop:
    """A shop with these limits and campaigns that a cart brings people into; one contact."""
    shop.workspace(limits)
    for name in names:
        shop.campaign(name, campaign)
    shop.apply()
    shop.contact("ada", phone="+447700900123")
    return shop


def cart(shop: Shop, at: str, *names: str, **props: str) -> None:
    """A cart of ada's, and each campaign's run."""
    shop.at(at)
    shop.event("ada", "cart_updated", **props)
    for name in names:
        shop.run(name)


def outcomes(shop: Shop) -> list[str]:
    """What became of all sends, in the order of their enrolments."""
    s, b = t.send.c, t.batch.c
    query = sa.select(sa.func.coalesce(s.outcome, b.state)).outerjoin_from(t.send, t.batch, b.id == s.batch_id)
    return [row[0] for row in shop._rows(query.order_by(s.enrolment_id))]


def test_a_window_that_rolls_holds_no_more_than_its_cap(any_shop: Shop) -> None:
    """Two in seven days: the third is skipped, and seven days after the first there is room again."""
    shop = house(any_shop, caps("channel: email, max: 2, per: 7d"), "sale")
    for at in ("2026-11-03 10:00", "2026-11-05 10:00", "2026-11-09 10:00", "2026-11-10 10:00", "2026-11-11 10:00"):
        cart(shop, at, "sale")
    assert outcomes(shop) == ["accepted", "accepted", "skipped:capped", "accepted", "skipped:capped"]


def test_a_calendar_week_is_the_contacts_own(any_shop: Shop) -> None:
    """In Auckland Monday begins on Sunday at noon in Berlin: a new week, a new message."""
    shop = house(any_shop, caps("channel: any, max: 1, per: week"), "sale")
    shop.contact("kiri", timezone="Pacific/Auckland", country="NZ")
    shop.at("2026-11-07 10:00")
    for name in ("ada", "kiri"):
        shop.event(name, "cart_updated")
    shop.run("sale")
    shop.at("2026-11-08 14:00")
    for name in ("ada", "kiri"):
        shop.event(name, "cart_updated")
    shop.run("sale")
    assert shop.inbox == ["ada", "kiri", "kiri"]
    assert shop.skips == {"ada": "capped"}


def test_channels_and_topics_are_counted_apart(any_shop: Shop) -> None:
    """A cap of SMS does not count mails, one of a topic not the others, `any` counts all but transactional ones."""
    shop = any_shop
    shop.workspace(
        caps("channel: sms, max: 1, per: 7d", "topic: news, max: 1, per: 7d", "channel: any, max: 4, per: 7d")
    )
    shop.campaign("sale", EVENT)
    shop.campaign("text", EVENT.replace("email", "sms"))
    shop.campaign("paper", "topic: news\n" + EVENT)
    shop.campaign("orders", "topic: service\n" + EVENT)
    shop.apply()
    shop.contact("ada", phone="+447700900123")
    runs = ("orders", "text", "paper", "sale")
    cart(shop, "2026-11-03 10:00", *runs)
    assert (len(shop.inbox), len(shop.texts.letters)) == (3, 1)
    cart(shop, "2026-11-04 10:00", *runs)
    assert (len(shop.inbox), len(shop.texts.letters)) == (5, 1)  # an order and a sale; the fourth of any
    cart(shop, "2026-11-05 10:00", *runs)
    assert (len(shop.inbox), len(shop.texts.letters)) == (6, 1)  # an order
    assert sorted(outcomes(shop)) == ["accepted"] * 7 + ["skipped:capped"] * 5


def test_what_was_handed_over_late_counts_from_then(any_shop: Shop) -> None:
    """Due on Monday and handed over on Wednesday: the day is over on Thursday, not on Tuesday."""
    shop = house(any_shop, caps("channel: email, max: 1, per: 1d"), "sale")
    shop.at("2026-11-09 10:00")
    shop.event("ada", "cart_updated")
    shop.run("sale", "2026-11-10 09:00")
    assert shop.inbox == ["ada"]
    cart(shop, "2026-11-10 20:00", "sale")
    cart(shop, "2026-11-11 09:00", "sale")
    assert outcomes(shop) == ["accepted", "skipped:capped", "accepted"]


def test_a_little_late_counts_from_when_it_was_due(shop: Shop) -> None:
    """A daily message that left ten minutes late keeps nobody from tomorrow's."""
    shop.workspace(caps("channel: email, max: 1, per: 1d"))
    shop.campaign("daily", "audience: everyone\nentry: {every: day, at: 10:00}\njourney:\n  - email: hello\n")
    shop.contact("ada")
    shop.apply()
    for at in ("2026-11-03 10:10", "2026-11-04 10:00", "2026-11-05 10:00"):
        shop.run("daily", at)
    assert shop.inbox == ["ada", "ada", "ada"]
    shop.run("daily", "2026-11-06 10:20")
    assert shop.inbox == ["ada"] * 4
    shop.run("daily", "2026-11-07 10:00")
    assert shop.skips == {"ada": "capped"}


def test_slots_are_kept_free_for_urgent_campaigns(any_shop: Shop) -> None:
    """Of three slots one is for priority 80 and more."""
    shop = house(any_shop, caps("channel: email, max: 3, per: 7d, keep_free: {slots: 1, priority: 80}"), "sale")
    shop.campaign("urgent", "priority: 80\n" + EVENT.replace("cart_updated", "cart_emptied"))
    shop.apply()
    for day in ("03", "04", "05"):
        cart(shop, f"2026-11-{day} 10:00", "sale")
    assert outcomes(shop) == ["accepted", "accepted", "skipped:capped"]
    shop.at("2026-11-06 10:00")
    shop.event("ada", "cart_emptied")
    shop.run("urgent")
    assert shop.inbox == ["ada", "ada", "ada"]


def test_who_only_counts_is_not_held_back(any_shop: Shop) -> None:
    """`caps: count_only`: the cart goes out although the week is full, and fills it for the others."""
    shop = house(any_shop, caps("channel: email, max: 1, per: 7d"), "sale")
    shop.campaign("carts", "caps: count_only\n" + EVENT.replace("cart_updated", "cart_emptied"))
    shop.apply()
    for day in ("03", "04"):
        shop.at(f"2026-11-{day} 10:00")
        shop.event("ada", "cart_emptied")
        shop.run("carts")
    assert shop.inbox == ["ada", "ada"]
    cart(shop, "2026-11-05 10:00", "sale")
    assert shop.skips == {"ada": "capped"}


def test_a_full_cap_may_be_waited_for(any_shop: Shop) -> None:
    """A day is full for ten more hours: it waits for that, and another that would wait longer than two hours does not."""
    shop = any_shop
    shop.workspace(caps("channel: email, max: 1, per: 1d, when_full: {wait_at_most: 12h}"))
    shop.campaign("sale", EVENT)
    shop.apply()
    shop.contact("ada")
    cart(shop, "2026-11-03 10:00", "sale")
    cart(shop, "2026-11-03 20:00", "sale")  # free in 14 hours
    assert shop.skips == {"ada": "capped"}
    cart(shop, "2026-11-04 00:30", "sale")  # free in 9½
    assert shop.due("ada") == "2026-11-04 09:00"
    assert len(shop.inbox) == 1
    shop.run_to("sale", "2026-11-04 10:00")
    assert len(shop.inbox) == 2


def test_a_calendar_day_is_waited_for_to_its_end(any_shop: Shop) -> None:
    """Full today: tomorrow begins at midnight on the contact's clock."""
    shop = any_shop
    shop.workspace(caps("channel: email, max: 1, per: day, when_full: {wait_at_most: 1d}"))
    shop.campaign("sale", EVENT)
    shop.apply()
    shop.contact("ada", timezone="America/New_York")
    cart(shop, "2026-11-03 15:00", "sale")
    cart(shop, "2026-11-03 16:00", "sale")
    assert shop.due("ada") == "2026-11-04 05:00"


def test_several_carts_of_one_person_share_the_slots(any_shop: Shop) -> None:
    """Three carts fall due in one pass, two may go: the first two."""
    shop = house(
        any_shop,
        caps("channel: email, max: 2, per: 7d"),
        "sale",
        campaign=EVENT.replace("again: always", "once_per: cart_id"),
    )
    shop.at("2026-11-03 10:00")
    for number in range(3):
        shop.event("ada", "cart_updated", cart_id=f"c{number}")
    shop.run("sale")
    assert sorted(outcomes(shop)) == ["accepted", "accepted", "skipped:capped"]


def test_the_better_priority_gets_the_last_slot(any_shop: Shop) -> None:
    """Both are due in one pass, whichever campaign's run it is."""
    shop = house(any_shop, caps("channel: email, max: 1, per: 7d"), "a_sale")
    shop.campaign("b_vip", "priority: 70\n" + EVENT)
    shop.apply()
    shop.at("2026-11-03 10:00")
    shop.event("ada", "cart_updated")
    fold(shop.store, shop.clock.now())
    grounds = [load_ground(shop.store, name, shop.clock.now()) for name in ("a_sale", "b_vip")]
    for ground in grounds:
        enter(ground)
    decided = reserve(grounds, max_people={})
    assert {name: (r[0].ready, dict(r[0].skipped)) for name, r in decided.items()} == {
        "a_sale": (0, {"capped": 1}), "b_vip": (1, {}),
    }  # fmt: skip


def test_ghosts_skips_and_rejections_take_no_slot(any_shop: Shop) -> None:
    """The held person is asked, and nothing is counted of what never left."""
    shop = house(any_shop, caps("channel: email, max: 1, per: 7d"), "sale")
    shop.mail.whole = False
    shop.mail.answer = lambda letter: Rejected("no such mailbox", "550")
    cart(shop, "2026-11-03 10:00", "sale")
    shop.mail.answer = type(shop.mail)(shop.mail.name, shop.mail.channel, whole=False).answer
    shop.mail.letters.clear()
    cart(shop, "2026-11-04 10:00", "sale")
    assert outcomes(shop)[-1] == "accepted"


def test_plan_counts_who_is_capped(shop: Shop) -> None:
    """The same Select tells beforehand how many have had enough."""
    house(shop, caps("channel: email, max: 1, per: 7d"), "sale")
    shop.contact("bob")
    cart(shop, "2026-11-03 10:00", "sale")
    shop.campaign("next", "audience: everyone\nentry: {at: 2026-11-05 10:00}\njourney:\n  - email: hello\n")
    draft = shop.draft("next")
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        (first,) = outlook(connection, ground, draft.contents).first_messages
    assert (first.reached, first.gets, dict(first.skipped)) == (2, 1, {"capped": 1})


def test_a_lowered_cap_holds_at_once(shop: Shop) -> None:
    """Limits are never frozen."""
    house(shop, caps("channel: email, max: 5, per: 7d"), "sale")
    cart(shop, "2026-11-03 10:00", "sale")
    shop.workspace(caps("channel: email, max: 1, per: 7d"))
    shop.apply()
    cart(shop, "2026-11-04 10:00", "sale")
    assert shop.skips == {"ada": "capped"}


def test_what_is_ready_takes_a_slot_until_it_is_stopped(any_shop: Shop) -> None:
    """A message that has not left counts wherever it is due; stopped, it never does again."""
    shop = house(any_shop, caps("channel: email, max: 1, per: 7d"), "sale", "news")
    shop.at("2026-11-03 10:00")
    shop.event("ada", "cart_updated")
    fold(shop.store, now=shop.clock.now())
    ground = load_ground(shop.store, "sale", shop.clock.now())
    enter(ground)
    reserve([ground], max_people={})
    cart(shop, "2026-11-05 10:00", "news")
    with shop.store.write("ledger") as connection:
        assert withdraw(connection, ground.applied.id, at=shop.clock.now()) == 1
    cart(shop, "2026-11-05 12:00", "news")
    assert outcomes(shop) == ["withdrawn", "skipped:capped", "accepted"]
    assert shop.inbox == ["ada"]

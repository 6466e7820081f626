"""The campaigns that ship, each over virtual weeks with a few people whose story is known."""

from __future__ import annotations

from carillon.advance.approve import approve
from tests.campaigns.conftest import Weeks

CLUB = "confirm-club-email"
MAIL = ("offers/email",)


def test_order_confirmation_reaches_every_buyer_once_an_order(weeks: Weeks) -> None:
    """Service mail needs no consent and no holdout; an order told twice is confirmed once; a dead address gets nothing."""
    weeks.contact("ada", consent=())
    weeks.contact("bob", consent=(), language="de")
    weeks.contact("eve", suppressed=True)
    weeks.apply("order_confirmation")
    lines = [{"product_id": "herb_bench", "price": "79.00", "quantity": 1}]
    weeks.pass_by(
        "order_confirmation", "2026-11-20 12:00",
        ("2026-11-03 10:00", lambda: weeks.order("ada", "79", order_id="o1", products=lines)),
        ("2026-11-03 10:05", lambda: weeks.order("ada", "79", order_id="o1", products=lines)),
        ("2026-11-05 10:00", lambda: weeks.order("bob", "20", order_id="o2", products=lines)),
        ("2026-11-06 10:00", lambda: weeks.order("eve", "20", order_id="o3", products=lines)),
        ("2026-11-10 10:00", lambda: weeks.order("ada", "30", order_id="o4", products=lines)),
    )  # fmt: skip
    assert [letter.text for letter in weeks.mail.letters] == ["Your order o1", "Ihre Bestellung o2", "Your order o4"]
    assert weeks.sends("email.confirmation") == {
        "ada": "accepted", "bob": "accepted", "eve": "skipped:suppressed",
    }  # fmt: skip


def test_welcome_begins_with_the_yes_and_follows_the_click(weeks: Weeks) -> None:
    """Two days later at ten: favourites for who clicked, the workshop for who did not; an order ends it."""
    weeks.apply("welcome")
    for name in ("ada", "bob", "eve"):
        weeks.contact(name, consent=(), timezone="Europe/Berlin")
    weeks.pass_by(
        "welcome", "2026-11-30 12:00",
        ("2026-11-03 15:00", lambda: [weeks.consent(name, "offers/email") for name in ("ada", "bob", "eve")]),
        ("2026-11-03 18:00", lambda: weeks.click("ada", "email.welcome")),
        ("2026-11-04 18:00", lambda: weeks.order("eve", "20", order_id="o1")),
    )  # fmt: skip
    assert weeks.sends("email.welcome") == {"ada": "accepted", "bob": "accepted", "eve": "accepted"}
    assert weeks.sends("email.favourites") == {"ada": "accepted"}
    assert weeks.sends("email.how_we_work") == {"bob": "accepted"}
    assert weeks.enrolments == {"ada": "finished", "bob": "finished", "eve": "goal"}


def test_post_purchase_asks_who_was_delivered_and_answers_who_was_unhappy(weeks: Weeks) -> None:
    """A week after delivery at 18:30 the question; five stars bring thanks, two stars a person; no delivery, no question."""
    weeks.apply("post_purchase")
    for name in ("ada", "bob", "eve", "joe"):
        weeks.contact(name, timezone="Europe/Berlin")
    orders = {"ada": "o1", "bob": "o2", "eve": "o3", "joe": "o4"}
    weeks.pass_by(
        "post_purchase", "2026-12-20 12:00",
        ("2026-11-03 10:00", lambda: [weeks.order(name, "50", order_id=order) for name, order in orders.items()]),
        ("2026-11-05 12:00", lambda: [weeks.event(name, "order_delivered", order_id=orders[name]) for name in ("ada", "bob", "eve")]),
        ("2026-11-13 09:00", lambda: weeks.event("ada", "review_written", order_id="o1", stars=5)),
        ("2026-11-14 09:00", lambda: weeks.event("bob", "review_written", order_id="o2", stars=2)),
    )  # fmt: skip
    assert weeks.sends("email.how_was_it") == {"ada": "accepted", "bob": "accepted", "eve": "accepted"}
    assert weeks.sends("email.thank_you") == {"ada": "accepted"}
    assert weeks.sends("email.we_listen") == {"bob": "accepted"}
    assert weeks.enrolments == {"ada": "finished", "bob": "unhappy", "eve": "no_answer", "joe": "not_delivered"}
    assert weeks.attrs("bob")["mood"] == "unhappy"


def test_newsletter_goes_to_each_reader_once_a_week_with_a_fresh_sample(weeks: Weeks) -> None:
    """Three Thursdays: all forty get one letter each, a fifth of them in the morning, and not the same fifth."""
    weeks.people(40)
    weeks.apply("newsletter")
    mornings = []
    for thursday in ("2026-11-05", "2026-11-12", "2026-11-19"):
        before = len(weeks.inbox)
        weeks.pass_by("newsletter", f"{thursday} 12:00")
        mornings.append(set(weeks.inbox[before:]))
        weeks.pass_by("newsletter", f"{thursday} 18:00")
        assert sorted(weeks.inbox[before:]) == [f"p{n:04}" for n in range(1, 41)]
    assert all(2 <= len(morning) <= 16 for morning in mornings)
    assert mornings[0] != mornings[1] != mornings[2]


def test_sunset_asks_twice_and_then_leaves_in_peace(weeks: Weeks) -> None:
    """Nine letters without a click: asked on a Tuesday, again after two weeks, then no longer written to; a click ends it."""
    for name in ("ada", "bob", "eve"):
        weeks.contact(name, timezone="Europe/Berlin", consent=MAIL)
    weeks.apply("newsletter", "sunset")
    weeks.pass_by("newsletter", "2026-11-26 12:00")
    weeks.pass_by("newsletter", "2027-01-05 12:00", ("2026-11-26 20:00", lambda: weeks.click("ada", "email.letter")))
    weeks.pass_by("sunset", "2027-03-09 12:00")
    assert (
        weeks.sends("email.still_interested") == {}
    )  # nobody was planned for: two are more than twice as many, and a person is asked
    approve(weeks.store, "sunset", who="ann", at=weeks.clock.now())
    weeks.pass_by(
        "sunset", "2027-04-10 12:00", ("2027-03-10 08:00", lambda: weeks.click("eve", "email.still_interested"))
    )
    assert weeks.sends("email.still_interested") == {"bob": "accepted", "eve": "accepted"}
    assert weeks.sends("email.last_letter") == {"bob": "accepted"}
    assert [weeks.allows(name) for name in ("ada", "bob", "eve")] == [True, False, True]


def test_win_back_asks_those_who_were_silent_for_half_a_year(weeks: Weeks) -> None:
    """Both ways to ask are used; ten days later a last letter to those who did not click, and an order ends it."""
    names = weeks.people(30)
    for name in names:
        weeks.event(name, "order_completed", "2026-03-01 12:00", history=True, order_id=f"h-{name}", total="40")
    weeks.apply("win_back")
    weeks.pass_by("win_back", "2026-11-09 12:00")
    first = dict(weeks.sends("email.new_things")) | dict(weeks.sends("email.what_was_it"))
    got = sorted(name for name, state in first.items() if state == "accepted")
    clicked, bought, *silent = got
    step = "email.new_things" if clicked in weeks.sends("email.new_things") else "email.what_was_it"
    weeks.pass_by(
        "win_back", "2026-11-25 12:00",
        ("2026-11-10 12:00", lambda: weeks.click(clicked, step)),
        ("2026-11-11 12:00", lambda: weeks.order(bought, "40", order_id="new")),
    )  # fmt: skip
    last = weeks.sends("email.last_letter")
    assert {name for name, state in last.items() if state == "accepted"} == set(silent)
    assert (last[clicked], weeks.enrolments[bought]) == ("skipped:only_if", "goal")
    assert weeks.sends("email.new_things").keys() & weeks.sends("email.what_was_it").keys() == set()


def test_spring_sale_sends_the_leader_to_the_rest_and_a_text_to_who_did_not_click(weeks: Weeks) -> None:
    """Everybody but the holdout gets one of two subjects, once; after two days those who did not click get an SMS."""
    weeks.at("2027-02-20 12:00")
    for n in range(60):
        weeks.contact(f"c{n:02}", phone=f"+4917012345{n:02}", country="DE", language="de")
    weeks.apply("spring_sale")
    weeks.pass_by("spring_sale", "2027-03-08 12:00")
    sample = [name for name, state in weeks.sends("email.sale").items() if state == "accepted"]
    assert 0 < len(sample) < 30
    weeks.click(sample[0], "email.sale")
    weeks.pass_by("spring_sale", "2027-03-12 12:00")
    mails, texts = weeks.sends("email.sale"), weeks.sends("sms.last_days")
    sent = {name for name, state in mails.items() if state == "accepted"}
    held = {name for name, state in mails.items() if state == "ghost"}
    assert len(sent) + len(held) == 60
    assert 0 < len(held) < 20
    assert {name for name, state in texts.items() if state == "accepted"} == sent - {sample[0]}
    assert len(weeks.inbox) == len(set(weeks.inbox)) == len(sent)


def test_who_joins_the_club_is_asked_for_a_second_yes(weeks: Weeks) -> None:
    """One letter with the button, in the contact's language; only who answers is a member."""
    weeks.at("2026-11-03 12:00")
    weeks.apply(CLUB)
    weeks.at("2026-11-03 12:10")
    for name, country in (("ada", "DE"), ("bob", "GB")):
        weeks.contact(name, country=country, consent=("club/email",))
    weeks.run(CLUB)
    weeks.pass_by(CLUB, "2026-11-04 13:00")
    assert {letter.address: letter.text for letter in weeks.mail.letters} == {
        "ada@example.com": "Bitte bestätigen Sie, dass Sie in unseren Club wollen",
        "bob@example.com": "Please confirm that you join our club",
    }
    weeks.consent("ada", "club/email", "confirmed")
    assert [weeks.allows(name, "club") for name in ("ada", "bob")] == [True, False]


def test_vip_early_access_waits_for_a_yes_and_reaches_the_best(weeks: Weeks) -> None:
    """Nothing leaves before the head of marketing says yes; then the members get it, and a text follows who did not click."""
    weeks.at("2027-03-01 12:00")
    consent = ("club/email", "club/sms")
    for n, tier in enumerate(("gold", "gold", "basic")):
        weeks.contact(f"c{n}", phone=f"+4917012345{n:02}", country="DE", tier=tier, lifetime_value=n, consent=consent)
        weeks.consent(f"c{n}", "club/email", "confirmed")
    weeks.apply("vip_early_access")
    weeks.pass_by("vip_early_access", "2027-03-08 10:00")
    assert weeks.inbox == []
    approve(weeks.store, "vip_early_access", who="head@meadowfinch.example", at=weeks.clock.now())
    weeks.pass_by(
        "vip_early_access", "2027-03-12 12:00", ("2027-03-08 11:00", lambda: weeks.click("c0", "email.early_access"))
    )
    assert weeks.sends("email.early_access") == {"c0": "accepted", "c1": "accepted"}
    assert weeks.sends("sms.last_hours") == {"c0": "skipped:only_if", "c1": "accepted"}


def test_cart_recovery_writes_an_hour_after_the_last_change_and_stops_at_the_order(weeks: Weeks) -> None:
    """One mail a cart; a day later half of those who did not click are offered help; an order of that cart ends it."""
    names = weeks.people(12)
    weeks.apply("cart_recovery")
    weeks.pass_by(
        "cart_recovery", "2026-11-12 12:00",
        ("2026-11-03 10:00", lambda: [weeks.event(name, "cart_updated", cart_id=f"c-{name}", total="50") for name in names]),
        ("2026-11-03 10:30", lambda: weeks.event(names[0], "cart_updated", cart_id=f"c-{names[0]}", total="60")),
        ("2026-11-03 10:40", lambda: weeks.order(names[1], "50", order_id="o1", cart_id=f"c-{names[1]}")),
        ("2026-11-03 12:00", lambda: weeks.click(names[2], "email.cart")),
        ("2026-11-03 13:00", lambda: weeks.order(names[3], "50", order_id="o3", cart_id=f"c-{names[3]}")),
        ("2026-11-03 14:00", lambda: weeks.order(names[4], "50", order_id="o4", cart_id="another")),
    )  # fmt: skip
    first, help_, word = (weeks.sends(f"email.{m}") for m in ("cart", "cart_help", "cart_reminder"))
    assert set(first) == set(names) - {names[1]}
    assert set(help_) | set(word) == set(names) - {names[1], names[2], names[3]}
    assert set(help_) & set(word) == set()
    assert help_
    assert word
    assert (weeks.enrolments[names[2]], weeks.enrolments[names[3]]) == ("interested", "goal")


def test_birthday_comes_on_each_contacts_own_clock_once_a_year(weeks: Weeks) -> None:
    """A week before and on the day, at nine where they live; 29 February is the 28th; who told no birthday is left alone."""
    weeks.contact("ada", birthday="1990-11-20", first_name="Ada", timezone="Europe/Berlin", consent=MAIL)
    weeks.contact("bob", birthday="1985-11-20", timezone="Asia/Tokyo", consent=MAIL)
    weeks.contact("leap", birthday="2000-02-29", timezone="Europe/Berlin", consent=MAIL)
    weeks.contact("none", consent=MAIL)
    weeks.apply("birthday")
    weeks.pass_by("birthday", "2026-11-13 04:00")
    assert weeks.inbox == ["bob"]
    weeks.pass_by("birthday", "2026-11-25 12:00")
    assert weeks.sends("email.birthday_today") == {"ada": "accepted", "bob": "accepted"}
    weeks.pass_by("birthday", "2027-02-28 08:30")
    assert weeks.sends("email.birthday_today") == {"ada": "accepted", "bob": "accepted"}
    weeks.pass_by("birthday", "2027-03-20 12:00")
    assert weeks.sends("email.birthday_today") == {"ada": "accepted", "bob": "accepted", "leap": "accepted"}
    assert sorted(weeks.inbox) == ["ada", "ada", "bob", "bob", "leap", "leap"]


def test_browse_reminder_bundles_what_was_looked_at(weeks: Weeks) -> None:
    """Four hours after the last look one mail with up to four different things; a cart in between cancels it."""
    for name in ("ada", "bob"):
        weeks.contact(name, consent=MAIL)
    weeks.apply("browse_reminder")
    looks = [
        ("2026-11-03 10:00", "bench"),
        ("2026-11-03 11:00", "spoon"),
        ("2026-11-03 12:00", "bench"),
        ("2026-11-03 13:00", "apron"),
    ]
    weeks.pass_by(
        "browse_reminder", "2026-11-15 12:00",
        *[(at, lambda thing=thing: weeks.event("ada", "product_viewed", product_id=thing, category="x")) for at, thing in looks],
        ("2026-11-03 10:10", lambda: weeks.event("bob", "product_viewed", product_id="spoon", category="x")),
        ("2026-11-03 11:10", lambda: weeks.event("bob", "cart_updated", cart_id="c1", total="5")),
        ("2026-11-05 10:00", lambda: weeks.event("ada", "product_viewed", product_id="pot", category="x")),
    )  # fmt: skip
    assert weeks.sends("email.browse") == {"ada": "accepted"}
    assert weeks.inbox == ["ada"]


def test_lead_nurture_hands_a_warm_lead_over_and_gives_the_others_time(weeks: Weeks) -> None:
    """Two clicks tell one of ours; the others get a story and, three weeks later, the catalogue; a visit ends it."""
    for name in ("ada", "bob", "eve"):
        weeks.contact(name, first_name=name.title(), consent=MAIL)
    weeks.apply("lead_nurture")
    weeks.pass_by(
        "lead_nurture", "2027-01-10 12:00",
        ("2026-11-03 10:00", lambda: [weeks.event(n, "lead_created", interest="kitchen", source="fair") for n in ("ada", "bob", "eve")]),
        ("2026-11-03 12:00", lambda: weeks.click("ada", "email.inspiration")),
        ("2026-11-08 12:00", lambda: weeks.click("ada", "email.planning_guide")),
        ("2026-11-10 12:00", lambda: weeks.event("eve", "visit_booked", place="Berlin")),
    )  # fmt: skip
    assert weeks.enrolments == {"ada": "handed_over", "bob": "finished", "eve": "goal"}
    assert [a for a in (letter.address for letter in weeks.mail.letters) if a.startswith("sales@")] == [
        "sales@meadowfinch.example"
    ]
    assert weeks.sends("email.customer_story") == weeks.sends("email.catalogue") == {"bob": "accepted"}

"""Why a contact who reached a message gets nothing: each reason, and their order."""

from __future__ import annotations

import pytest

from carillon.experiment.holdout import campaign_holdout
from carillon.kernel.ids import bucket, h31
from tests.shop import Shop, counted, held_names, instant

SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\n"


def sale(shop: Shop, journey: str = "[{email: sale}]", more: str = "", **files: str) -> None:
    shop.campaign("sale", f"{more}{SALE}journey: {journey}\n", files)
    shop.force("sale")


def at_nine(shop: Shop) -> dict[str, str]:
    """Everybody's reason once the sale has come."""
    shop.run("sale", "2026-12-01 09:00")
    return shop.skips


def test_addresses_missing_broken_and_suppressed(shop: Shop) -> None:
    shop.contact("none", email=None)
    shop.contact("broken", email=None, invalid_bits=1)
    shop.contact("dead", suppressed=True)
    shop.contact("fine")
    sale(shop)
    assert at_nine(shop) == {"none": "no_address", "broken": "invalid_address", "dead": "suppressed"}
    assert shop.inbox == ["fine"]


@pytest.mark.parametrize(
    ("topic", "said", "gets"),
    [
        ("offers", [], False),
        ("offers", ["yes"], True),
        ("offers", ["yes", "no"], False),
        ("offers", ["no", "yes"], True),
        ("club", ["yes"], False),
        ("club", ["yes", "confirmed"], True),
        ("news", [], True),
        ("news", ["no"], False),
        ("service", [], True),
        ("service", ["no"], False),
    ],
)
def test_consent_is_read_as_its_topic_says(shop: Shop, topic: str, said: list[str], gets: bool) -> None:
    """Explicit needs a yes, double a confirmed one, assumed holds until a no; a transactional topic
    asks nobody, but a no (STOP) is obeyed."""
    shop.contact("ada", consent=())
    for second, word in enumerate(said):
        shop.at(instant("2026-11-02 12:00") + second)
        shop.consent("ada", f"{topic}/email", word)
    sale(shop, more=f"topic: {topic}\n")
    assert at_nine(shop) == ({} if gets else {"ada": "no_consent"})
    assert shop.inbox == (["ada"] if gets else [])


def test_a_channel_that_the_topic_does_not_name_is_not_used(shop: Shop) -> None:
    """Club speaks by mail only, so `check` refuses the text message; a consent for it changes nothing."""
    shop.contact("ada", phone="+447700900001", consent=("club/sms",))
    shop.campaign("sale", f"topic: club\n{SALE}journey: [{{sms: hi}}]\n")
    with pytest.raises(AssertionError, match="sms"):
        shop.force("sale")


def test_suppression_is_above_a_transactional_topic(shop: Shop) -> None:
    shop.contact("ada", suppressed=True)
    sale(shop, more="topic: service\n")
    assert at_nine(shop) == {"ada": "suppressed"}


def test_the_house_excludes_from_marketing_and_not_from_service(shop: Shop) -> None:
    """Asked when due: who became staff during the wait is out."""
    shop.workspace("exclude: [{contact: {tier: gold}}]\n")
    for name in ("ada", "bob"):
        shop.contact(name)
    sale(shop, "[{wait: 1d}, {email: sale}]")
    shop.campaign("receipt", f"topic: service\n{SALE}journey: [{{wait: 1d}}, {{email: receipt}}]\n")
    shop.force("receipt")
    at_nine(shop)
    shop.run("receipt")
    shop.change("ada", tier="gold")
    shop.run("sale", "2026-12-02 09:00")
    shop.run("receipt")
    assert shop.sends("email.sale") == {"ada": "skipped:excluded", "bob": "accepted"}
    assert shop.sends("email.receipt") == {"ada": "accepted", "bob": "accepted"}


def test_only_if_is_asked_when_due(shop: Shop) -> None:
    shop.contact("ada", points=900)
    shop.contact("bob", points=900)
    shop.contact("eve")
    sale(shop, "[{wait: 1d}, {email: sale, only_if: {contact: {points: {over: 100}}}}]")
    at_nine(shop)
    shop.change("bob", points=5)
    shop.run("sale", "2026-12-02 09:00")
    assert shop.skips == {"bob": "only_if", "eve": "only_if"}


def test_who_speaks_a_language_that_nobody_wrote_gets_nothing_and_is_named(shop: Shop) -> None:
    shop.contact("ada", country="DE")
    shop.contact("bob", country="GB")
    sale(shop)
    assert at_nine(shop) == {"ada": "no_translation"}


def test_each_speaks_their_own_language(shop: Shop) -> None:
    shop.contact("ada", country="DE")
    shop.contact("bob", country="DE", language="en")
    sale(shop, **{"sale.de.yaml": "subject: Schlussverkauf\ntexts: {headline: Hallo}\n"})
    at_nine(shop)
    assert {letter.address: letter.text for letter in shop.mail.letters} == {
        "ada@example.com": "Schlussverkauf",
        "bob@example.com": "sale",
    }


def test_of_two_with_one_address_the_older_gets_it(shop: Shop) -> None:
    shop.contact("ada", email="home@example.com")
    shop.contact("bob", email="home@example.com")
    sale(shop)
    assert at_nine(shop) == {"bob": "duplicate_address"}
    assert shop.inbox == ["home"]


def test_the_double_in_another_zone_gets_nothing_hours_later(any_shop: Shop) -> None:
    """Tokyo's morning comes first, whoever has the lower id; who was skipped for another reason served nobody."""
    any_shop.contact("nora", email="home@example.com", timezone="America/New_York")
    any_shop.contact("yuki", email="home@example.com", timezone="Asia/Tokyo")
    any_shop.contact("mute", email="other@example.com", timezone="Asia/Tokyo", consent=())
    any_shop.contact("emil", email="other@example.com", timezone="Europe/Berlin")
    any_shop.campaign("sale", SALE.replace("09:00", "09:00, timezone: contact") + "journey: [{email: sale}]\n")
    any_shop.force("sale")
    any_shop.run_to("sale", "2026-12-01 16:00")
    assert any_shop.skips == {"nora": "duplicate_address", "mute": "no_consent"}
    assert any_shop.inbox == ["home", "other"]


def test_service_mail_goes_to_both_owners_of_an_address(shop: Shop) -> None:
    shop.contact("ada", email="home@example.com")
    shop.contact("bob", email="home@example.com")
    sale(shop, more="topic: service\n")
    assert at_nine(shop) == {}
    assert shop.inbox == ["home", "home"]


@pytest.mark.parametrize(
    ("limit", "run", "gets"),
    [
        ("valid_for: 30min", "2026-12-01 09:29", True),
        ("valid_for: 30min", "2026-12-01 09:30", False),
        ("valid_until: 2026-12-01 08:30", "2026-12-01 09:20", True),
        ("valid_until: 2026-12-01 08:30", "2026-12-01 09:31", False),
    ],
)
def test_too_late_is_expired(shop: Shop, limit: str, run: str, gets: bool) -> None:
    """`valid_for` counts from due; `valid_until` is on the contact's clock: 08:30 in London is 09:30 in Berlin."""
    shop.contact("ada")
    sale(shop, f"[{{email: sale, {limit}}}]")
    shop.run("sale", run)
    assert shop.skips == ({} if gets else {"ada": "expired"})


def test_after_the_end_nothing_is_handed_over(any_shop: Shop) -> None:
    any_shop.contact("ada")
    sale(any_shop, "[{email: sale}, {wait: 2d}, {sms: last}]", more="ends: 2026-12-03 08:59\n")
    at_nine(any_shop)
    any_shop.run("sale", "2026-12-03 09:00")
    assert any_shop.skips == {"ada": "expired"}


def test_the_first_reason_that_holds_is_the_reason(any_shop: Shop) -> None:
    """One contact has every fault; each is taken away in turn, and the next shows."""
    any_shop.workspace("exclude: [{contact: {tier: gold}}]\nholdout: 100%\n")
    any_shop.contact("twin", email="x@example.com")
    any_shop.contact("ada", email=None, invalid_bits=1, consent=(), country="DE", tier="gold")
    seen = []
    for day in range(1, 10):
        any_shop.campaign(
            f"c{day}",
            f"audience: everyone\nentry: {{at: 2026-12-{day:02} 09:00}}\n"
            f"journey: [{{email: m{day}, valid_for: 2h, only_if: {{contact: {{points: {{over: 100}}}}}}}}]\n",
            {f"m{day}.de.yaml": "subject: x\ntexts: {headline: y}\n"} if day > 6 else {},
        )
        any_shop.force(f"c{day}")
        if day == 1:
            any_shop.run("c1", "2026-12-01 09:00")
            any_shop.change("ada", email="x@example.com")
            any_shop.suppress("x@example.com")
        elif day == 2:
            any_shop.run("c2", "2026-12-02 09:00")
            any_shop.change("ada", email="y@example.com")
        elif day == 3:
            any_shop.run("c3", "2026-12-03 09:00")
            any_shop.consent("ada", "offers/email")
        elif day == 4:
            any_shop.run("c4", "2026-12-04 09:00")
            any_shop.change("ada", tier="basic")
        elif day == 5:
            any_shop.run("c5", "2026-12-05 09:00")
            any_shop.change("ada", points=900)
        elif day == 6:
            any_shop.run("c6", "2026-12-06 09:00")
            any_shop.contact("older", country="DE", points=900)
        elif day == 7:
            any_shop.run("c7", "2026-12-07 09:00")
        seen.append(any_shop.sends(f"email.m{day}").get("ada"))
    assert seen[:7] == [
        "skipped:invalid_address", "skipped:suppressed", "skipped:no_consent", "skipped:excluded", "skipped:only_if",
        "skipped:no_translation", "ghost",
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- holdout


def test_the_holdout_is_asked_every_reason_and_only_then_withheld(shop: Shop) -> None:
    """All are held: who would have got it is a ghost, who would not has the reason. Nobody is written to."""
    shop.contact("fine")
    shop.contact("mute", consent=())
    sale(shop, more="holdout: 100%\ngoal: {event: order_completed, within: 5d}\n")
    at_nine(shop)
    assert shop.sends("email.sale") == {"fine": "ghost", "mute": "skipped:no_consent"}
    assert shop.inbox == []
    assert shop.enrolments == {"fine": "email.sale", "mute": "finished"}


def test_a_held_person_stays_until_the_goals_window_closes(shop: Shop) -> None:
    shop.contact("ada")
    sale(
        shop,
        "[{email: sale}, {wait: 1d}, {sms: last}]",
        more="holdout: 100%\ngoal: {event: order_completed, within: 5d}\n",
    )
    at_nine(shop)
    assert shop.due("ada") == "2026-12-06 08:00"
    shop.run("sale", "2026-12-06 08:59")
    assert shop.enrolments == {"ada": "email.sale"}
    shop.run("sale", "2026-12-06 09:00")
    assert shop.enrolments == {"ada": "held"}


def test_the_window_of_months_is_the_calendars(any_shop: Shop) -> None:
    any_shop.contact("ada")
    sale(any_shop, more="holdout: 100%\ngoal: {event: order_completed, within: 1mo}\n")
    at_nine(any_shop)
    assert any_shop.due("ada") == "2027-01-01 08:00"


def test_without_a_goal_or_with_a_recurring_entry_a_ghost_is_the_end(shop: Shop) -> None:
    """So that the next week finds the person free, and asks again."""
    shop.contact("ada")
    shop.campaign(
        "news",
        "holdout: 100%\ngoal: {event: order_completed, within: 30d}\naudience: everyone\n"
        "entry: {every: monday, at: 09:00}\njourney: [{email: news}]\n",
    )
    shop.force("news")
    shop.run_to("news", "2026-11-17 00:00")
    assert shop.waves() == [("every", "2026-11-09", 1, {}), ("every", "2026-11-16", 1, {})]
    assert shop.enrolments == {"ada": "held"}


def test_global_first_then_the_campaigns_and_the_share_is_kept(any_shop: Shop) -> None:
    """Exactly those whose buckets say so; nobody of them is in both."""
    any_shop.workspace("holdout: 20%\n")
    names = any_shop.people(300)
    sale(any_shop, more="holdout: 30%\n")
    at_nine(any_shop)
    globally = {n for n in names if bucket("holdout", h31(n)) < 2_000}
    mine = {n for n in names if bucket(campaign_holdout("sale"), h31(n)) < 3_000} - globally
    roles = {row[0]: row[2] for row in any_shop.ledger()["enrolment"]}
    assert {n for n, role in roles.items() if role == "held_global"} == globally
    assert {n for n, role in roles.items() if role == "held_campaign"} == mine
    assert sorted(any_shop.inbox) == sorted(set(names) - globally - mine)
    assert counted(any_shop.sends("email.sale")) == {
        "ghost": len(globally | mine),
        "accepted": 300 - len(globally | mine),
    }


def test_holdout_none_and_service_write_to_everybody(shop: Shop) -> None:
    shop.workspace("holdout: 100%\n")
    shop.contact("ada")
    sale(shop, more="holdout: {none: legal notice}\n")
    shop.campaign("receipt", f"topic: service\n{SALE}journey: [{{email: receipt}}]\n")
    shop.force("receipt")
    at_nine(shop)
    shop.run("receipt")
    assert shop.inbox == ["ada", "ada"]


def test_growing_the_holdout_keeps_whom_it_held(shop: Shop) -> None:
    names = list(held_names(lambda h: bucket(campaign_holdout("sale"), h) < 1_000, 3))
    for name in names:
        shop.contact(name)
    for share in ("10%", "40%"):
        shop.campaign(
            "sale",
            f"holdout: {share}\naudience: everyone\nentry: {{event: cart_updated, again: always}}\njourney: [{{email: sale}}]\n",
        )
        shop.force("sale")
        shop.at(shop.clock.now() + 60_000_000)
        for name in names:
            shop.event(name, "cart_updated", cart_id="c", total="1")
        shop.run("sale")
    assert shop.inbox == []
    assert counted(shop.sends("email.sale")) == {"ghost": 3}

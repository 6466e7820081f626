"""Double opt-in: who says yes to a topic that wants a second one is asked by one message, and no more often than is polite."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.delivery.protocol import Deferred, Unsure
from carillon.store import tables as t
from tests.advance.double_opt_in import CONFIRM, WITH_CONFIRM, asking
from tests.shop import WORKSPACE, Interrupted, Shop


def asked(shop: Shop, when: str) -> int:
    """How many letters had left by then, after a run of the confirmations."""
    shop.run(CONFIRM, when)
    return len(shop.mail.letters)


def test_who_signs_up_is_asked_once(any_shop: Shop) -> None:
    """No campaign has them before they have answered; another run asks nobody again."""
    shop = asking(any_shop)
    shop.contact("ada", consent=("club/email",))
    shop.contact("bob", consent=("offers/email",))
    shop.run(CONFIRM)
    shop.run(CONFIRM, "2026-11-02 12:20")
    shop.run("hello")
    assert [(letter.address, letter.text) for letter in shop.mail.letters] == [("ada@example.com", "Is it you?")]
    assert shop.sends("email.please_confirm") == {"ada": "accepted"}


def test_it_is_asked_in_the_language_of_the_contact(shop: Shop) -> None:
    asking(shop)
    shop.contact("uwe", consent=("club/email",), country="DE")
    shop.run(CONFIRM)
    assert [letter.text for letter in shop.mail.letters] == ["Sind Sie es?"]


def test_caps_quiet_hours_and_the_holdout_do_not_hold_it_back(shop: Shop) -> None:
    """It is an answer to what somebody has just done, not marketing; and it fills no cap of the campaigns."""
    limits = (
        "limits:\n  caps: [{channel: email, max: 1, per: 7d}]\n  quiet_hours: {email: 00:00-23:59}\nholdout: 100%\n"
    )
    asking(shop, WITH_CONFIRM + limits)
    shop.contact("ada", consent=("club/email",))
    assert asked(shop, "2026-11-02 12:10") == 1


def test_it_counts_for_no_cap(shop: Shop) -> None:
    asking(shop, WITH_CONFIRM + "limits:\n  caps: [{channel: email, max: 1, per: 7d}]\n")
    shop.contact("ada", consent=("club/email",))
    shop.run(CONFIRM)
    shop.consent("ada", "club/email", "confirmed")
    shop.run("hello", "2026-11-02 12:20")
    assert [letter.text for letter in shop.mail.letters] == ["Is it you?", "hello"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [("suppressed", "suppressed"), ("no_address", "no_address"), ("said_no", "no_consent")],
)
def test_who_may_not_be_written_to_is_not_asked(shop: Shop, what: str, reason: str) -> None:
    """Never a suppressed address; and a no that comes between the sign-up and the hand-over is obeyed."""
    asking(shop)
    shop.contact("ada", consent=("club/email",), email=None if what == "no_address" else "")
    if what == "suppressed":
        shop.suppress("ada@example.com")
    shop.at("2026-11-02 12:11")
    if what == "said_no":
        shop.consent("ada", "club/email", "no")
    shop.run(CONFIRM)
    assert (shop.inbox, shop.skips) == ([], {"ada": reason})


def test_who_is_confirmed_before_it_leaves_is_not_asked(shop: Shop) -> None:
    """The shop's own confirmation came first: before the run, or while the message was held back."""
    asking(shop)
    shop.contact("ada", consent=("club/email",))
    shop.at("2026-11-02 12:11")
    shop.consent("ada", "club/email", "confirmed")
    shop.run(CONFIRM)
    assert (shop.inbox, shop.enrolments) == ([], {})
    shop.mail.answer = lambda letter: Deferred("busy")
    shop.contact("bob", consent=("club/email",))
    shop.run(CONFIRM)
    shop.at("2026-11-02 12:20")
    shop.consent("bob", "club/email", "confirmed")
    shop.mail.answer = type(shop.mail).answer
    shop.run(CONFIRM)
    assert (shop.sends("email.please_confirm"), shop.enrolments) == ({"bob": "exited"}, {"bob": "goal"})


def test_a_second_sign_up_within_a_day_sends_no_second_mail_and_later_ones_do_three_times(any_shop: Shop) -> None:
    """Day by day somebody fills in the form for ada: three mails in thirty days, then the fourth."""
    shop = asking(any_shop)
    shop.contact("ada", consent=("club/email",))
    seen = [asked(shop, "2026-11-02 12:10")]
    for when in ("2026-11-03 12:09", "2026-11-03 12:11", "2026-11-10 12:30", "2026-11-30 09:00", "2026-12-02 13:00"):
        shop.at(when)
        shop.consent("ada", "club/email")
        seen.append(asked(shop, when))
    assert seen == [1, 1, 2, 3, 3, 4]


def test_a_yes_of_somebody_who_is_confirmed_changes_nothing(any_shop: Shop) -> None:
    """They fill in the form again: they are asked nothing, and stay in."""
    shop = asking(any_shop)
    shop.contact("ada", consent=())
    shop.consent("ada", "club/email", "confirmed")
    shop.run("hello")
    shop.at("2026-11-04 12:00")
    shop.consent("ada", "club/email")
    shop.run(CONFIRM)
    shop.campaign("news", "topic: club\naudience: everyone\nentry: {at: 2026-11-04 13:00}\njourney: [{email: news}]\n")
    shop.apply("news")
    shop.run("news", "2026-11-04 13:00")
    assert [letter.text for letter in shop.mail.letters] == ["hello", "news"]


def test_a_no_after_a_confirmed_yes_and_a_sign_up_is_told_as_leaving(shop: Shop) -> None:
    asking(shop)
    shop.contact("ada", consent=())
    for minute, state in ((11, "confirmed"), (12, "yes"), (13, "no"), (14, "yes")):
        shop.at(f"2026-11-02 12:{minute}")
        shop.consent("ada", "club/email", state)
    shop.run("hello")
    ev = t.event.c
    with shop.store.read() as connection:
        kinds = connection.scalars(sa.select(ev.kind).where(ev.kind != "contact.created").order_by(ev.occurred_at))
        assert list(kinds) == ["contact.subscribed", "contact.unsubscribed", "contact.signed_up"]


def test_a_sign_up_of_last_week_is_not_answered_any_more(shop: Shop) -> None:
    """Six days after, the engine has been away, it is; eight days after, it is left out as too late."""
    asking(shop)
    shop.contact("ada", consent=("club/email",))
    shop.at("2026-11-04 12:10")
    shop.contact("bob", consent=("club/email",))
    shop.run(CONFIRM, "2026-11-10 12:10")
    assert shop.inbox == ["bob"]


def test_an_unsure_hand_over_is_not_repeated_unless_the_shop_says_so(shop: Shop) -> None:
    """The policy of transactional messages holds, here the default: nobody is asked twice on a guess."""
    asking(shop)
    shop.mail.answer = lambda letter: Unsure("timed out")
    shop.contact("ada", consent=("club/email",))
    shop.run(CONFIRM)
    shop.mail.answer = type(shop.mail).answer
    assert asked(shop, "2026-11-02 22:00") == 1
    assert shop.sends("email.please_confirm") == {"ada": "unsure"}


NUMBERS = (1, 3, 4, 5, 6)
"""Of the transactions of a run: telling, folding, entering, deciding."""


def test_an_interrupted_run_ends_like_a_whole_one(shop: Shop) -> None:
    """Stopped before each of its transactions in turn, the next run brings everybody to one mail."""
    stopped = 0
    asking(shop)
    for number in NUMBERS:
        shop.contact(f"a{number}", consent=("club/email",))
        try:
            shop.run(CONFIRM, stop_before=number)
        except Interrupted:
            stopped += 1
            shop.run(CONFIRM)
    assert stopped == len(NUMBERS)
    assert sorted(shop.inbox) == sorted(f"a{number}" for number in NUMBERS)


def test_by_text_message_too(shop: Shop) -> None:
    """Each channel is confirmed by itself: the telephone's link says nothing of the mailbox."""
    both = WORKSPACE.replace(
        "consent: {email: double}}", "consent: {email: double, sms: double}, confirm: please_confirm}"
    )
    shop.write("messages/please_confirm.sms.txt", "Acme: is it you? {{ links.confirm }}")
    shop.write("messages/please_confirm.sms.de.txt", "Acme: sind Sie es? {{ links.confirm }}")
    asking(shop, both)
    shop.contact("ada", phone="+447700900123", consent=("club/sms",))
    shop.run("confirm-club-sms")
    shop.run(CONFIRM)
    assert shop.inbox == []
    assert [letter.text.rpartition("/")[0] for letter in shop.texts.letters] == [
        "Acme: is it you? https://t.acme.example/y"
    ]

"""Sent again only to those who may have it now: a resend passes the whole decision of reserve, and nobody gets two."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from carillon.advance.lease import AlreadyRunning
from carillon.delivery.protocol import Accepted, Outcome, Unsure
from carillon.delivery.release import release_campaign, withdraw
from carillon.delivery.resend import resend
from carillon.delivery.unsure import decide, unsure_batches
from carillon.feedback.model import FeedbackKind
from carillon.foresight.explain import explain
from carillon.journey.ground import load_ground
from carillon.reports.status import status
from carillon.store import tables as t
from tests.shop import Interrupted, Letter, Shop

EVENT = "entry: {event: cart_updated, again: always}\njourney:\n  - email: hello\n"
RESEND = "if_unsure: {marketing: resend}\n"


def lost(letter: Letter) -> Outcome:
    return Unsure("no answer")


def taken(letter: Letter) -> Outcome:
    return Accepted("m")


def in_doubt(shop: Shop, *names: str, workspace: str = "", campaign: str = EVENT, at: str = "2026-11-03 10:00") -> Shop:
    """A shop in which these people's mails left and no answer came; what comes after it is answered."""
    shop.workspace(workspace)
    shop.campaign("cart", campaign)
    shop.apply()
    for name in names:
        shop.contact(name)
    shop.mail.answer = lost
    shop.at(at)
    for name in names:
        shop.event(name, "cart_updated")
    shop.run("cart")
    assert set(shop.sends("email.hello").values()) == {"unsure"}
    shop.mail.answer = taken
    return shop


def wanted(shop: Shop, at: str) -> int:
    """Ann wants all that is unsure sent again; how many people that are."""
    shop.at(at)
    now = shop.clock.now()
    with shop.store.read() as connection:
        batches = [b.id for b in unsure_batches(connection)]
    return sum(
        decide(shop.store, batches, "resend", who="ann", why="not in the log", now=now, machine_now=now).values()
    )


def notes(shop: Shop) -> dict[str, tuple[str, str | None]]:
    """Contact → the state of its newest send, and why."""
    s, b, c = t.send.c, t.batch.c, t.contact.c
    rows = shop._rows(
        sa.select(c.shop_id, b.state, b.note)
        .join_from(t.send, t.batch, b.id == s.batch_id)
        .join(t.contact, c.id == s.contact_id)
        .order_by(s.enrolment_id)
    )
    return {name: (state, note) for name, state, note in rows}


def decisions(shop: Shop) -> list[tuple[str, str]]:
    """The written decisions, in the order in which they were written."""
    a = t.attempt.c
    rows = shop._rows(sa.select(a.status, a.note).where(a.status.in_(("resend", "close"))).order_by(a.batch_id, a.no))
    return [(status, note) for status, note in rows]


def test_who_may_have_it_gets_it_once_more(any_shop: Shop) -> None:
    """A cap of one a week, which the lost mail itself has filled, keeps nobody from its own repetition."""
    caps = "limits: {caps: [{channel: email, max: 1, per: 7d}]}\n"
    shop = in_doubt(any_shop, "ada", "bob", workspace=caps)
    shop.workspace(caps + RESEND)
    shop.apply()
    run = shop.run("cart", "2026-11-03 11:00")
    assert shop.sends("email.hello") == {"ada": "accepted", "bob": "accepted"}
    assert sorted(shop.inbox) == ["ada", "ada", "bob", "bob"]
    assert [stage.line for stage in run.stages][:2] == [
        "settle what was unsure: 2 wanted once more", "email.hello, once more: 2 ready",
    ]  # fmt: skip
    assert decisions(shop) == [("resend", "if_unsure: resend for marketing topics")]
    shop.run("cart", "2026-11-04 11:00")
    assert len(shop.inbox) == 4


def test_the_house_repeats_a_hand_over_once_and_then_asks_a_person(any_shop: Shop) -> None:
    """A provider that takes everything and answers nothing must not get the same mail again and again."""
    shop = in_doubt(any_shop, "ada", workspace=RESEND)
    assert shop.inbox == ["ada", "ada"]
    shop.run("cart", "2026-11-05 10:00")
    assert (shop.sends("email.hello"), shop.inbox) == ({"ada": "unsure"}, ["ada", "ada"])


REFUSALS: dict[str, tuple[Callable[[Shop], object], str]] = {
    "exited": (
        lambda shop: shop.order("ada", at="2026-11-03 10:30"),
        EVENT + "goal: {event: order_completed, within: 5d}\nexit_on: [goal]\n",
    ),
    "expired": (lambda shop: None, EVENT.replace("email: hello", "{email: hello, valid_for: 2h}")),
    "suppressed": (lambda shop: shop.suppress("ada@example.com"), EVENT),
    "no_consent": (lambda shop: shop.consent("ada", "offers/email", "no"), EVENT),
    "only_if": (
        lambda shop: shop.change("ada", tier="gold"),
        EVENT.replace("email: hello", "{email: hello, only_if: {contact: {tier: {is_not: gold}}}}"),
    ),
    "capped": (lambda shop: _another_mail(shop), EVENT),
    "blackout": (lambda shop: None, EVENT.replace("email: hello", "{email: hello, valid_for: 9h}")),
}
WORKSPACES = {
    "capped": "limits: {caps: [{channel: email, max: 1, per: 5h}]}\n",
    "blackout": "limits: {blackouts: [{from: 2026-11-03 18:00, to: 2026-11-04 18:00, channels: [email]}]}\n",
}


def _another_mail(shop: Shop) -> None:
    shop.campaign("other", EVENT.replace("cart_updated", "cart_emptied").replace("hello", "other"))
    shop.apply()
    shop.at("2026-11-03 16:00")
    shop.event("ada", "cart_emptied")
    shop.run("other")
    assert shop.sends("email.other") == {"ada": "accepted"}


@pytest.mark.parametrize("reason", REFUSALS)
def test_who_may_not_have_it_now_stays_unsure_for_good_and_the_reason_is_told(any_shop: Shop, reason: str) -> None:
    """Never `skipped`: the first mail may have reached them, so it goes on counting for caps, tests and reports."""
    happens, campaign = REFUSALS[reason]
    shop = in_doubt(
        any_shop, "ada", "bob" if reason not in ("expired", "blackout") else "ada",
        campaign=campaign, workspace=WORKSPACES.get(reason, ""),
    )  # fmt: skip
    happens(shop)
    mails = len(shop.inbox)
    assert wanted(shop, "2026-11-03 20:00") == len(set(shop.inbox))
    shop.run("cart")
    told = "expired" if reason == "blackout" else reason  # the blackout ends when it is too late
    assert notes(shop)["ada"] == ("closed", f"not sent again: {told}") or reason == "capped"
    assert ("close", f"not sent again: {told}") in decisions(shop)
    assert shop.sends("email.hello")["ada"] == "closed"
    assert shop.inbox[mails:] == ([] if reason in ("expired", "blackout") else ["bob"])
    with shop.store.read() as connection:
        way = explain(connection, load_ground(shop.store, "cart", shop.clock.now()), "ada").ways[-1]
    assert f"not sent again: {told}" in [h.why for h in way.happenings]


def test_at_night_it_waits_for_the_morning_and_a_report_may_come_first(any_shop: Shop) -> None:
    """Both wait in quiet hours, unsure; then the report about ada settles her and the whole request, so nobody gets two."""
    shop = in_doubt(any_shop, "ada", "bob", workspace="limits: {quiet_hours: {email: 21:00-08:00}}\n")
    assert wanted(shop, "2026-11-03 23:30") == 2
    run = shop.run("cart")
    assert run.next_due is not None
    assert shop.sends("email.hello") == {"ada": "unsure", "bob": "unsure"}
    assert [s.line for s in run.stages] == ["email.hello, once more: 2 later (quiet_hours)"]
    (seen,) = status(shop.store, shop.loaded, shop.clock.now(), shop.clock).campaigns
    assert (seen.unsure, seen.wanted_again, seen.next_due) == (2, 2, run.next_due)
    shop.report(FeedbackKind.DELIVERED, "ada", "email.hello")
    shop.run_to("cart", "2026-11-04 10:00")
    assert shop.sends("email.hello") == {"ada": "accepted", "bob": "accepted"}
    assert sorted(shop.inbox) == ["ada", "bob"]


def test_each_waits_for_the_own_morning(any_shop: Shop) -> None:
    """Parted by their clocks, each part with the decision that it stands on; all of them arrive."""
    shop = any_shop
    for name, zone in (("nora", "America/New_York"), ("yuki", "Asia/Tokyo"), ("emil", "Europe/Berlin")):
        shop.contact(name, timezone=zone)
    shop.workspace("limits: {quiet_hours: {email: 21:00-08:00}}\n")
    shop.campaign("cart", EVENT)
    shop.apply()
    shop.mail.answer = lost
    shop.at("2026-11-02 23:00")  # all of Monday night in Berlin, morning in Tokyo, afternoon in New York
    for name in ("nora", "yuki", "emil"):
        shop.event(name, "cart_updated")
    shop.run_to("cart", "2026-11-03 08:00")
    shop.mail.answer = taken
    assert shop.sends("email.hello") == dict.fromkeys(("nora", "yuki", "emil"), "unsure")
    first = len(shop.inbox)
    assert wanted(shop, "2026-11-03 20:30") == 3  # 04:30 in Tokyo
    shop.run("cart")
    assert sorted(shop.inbox[first:]) == ["emil", "nora"]
    assert shop.sends("email.hello")["yuki"] == "unsure"
    shop.run_to("cart", "2026-11-04 01:00")
    assert shop.inbox[first:][-1] == "yuki"
    assert set(shop.sends("email.hello").values()) == {"accepted"}


def test_of_two_lost_mails_of_one_person_the_earlier_gets_the_only_slot(any_shop: Shop) -> None:
    """Lost a week apart, wanted at once: one may leave now, the other is refused; never both, never neither."""
    shop = in_doubt(any_shop, "ada", workspace="limits: {caps: [{channel: email, max: 1, per: 7d}]}\n")
    shop.mail.answer = lost
    shop.at("2026-11-11 10:00")
    shop.event("ada", "cart_updated")
    shop.run("cart")
    shop.mail.answer = taken
    assert wanted(shop, "2026-11-20 10:00") == 2
    shop.run("cart")
    states = shop._rows(
        sa.select(t.batch.c.state, t.batch.c.note)
        .join_from(t.send, t.batch, t.batch.c.id == t.send.c.batch_id)
        .order_by(t.send.c.enrolment_id)
    )
    assert [tuple(row) for row in states] == [("accepted", "ann: not in the log"), ("closed", "not sent again: capped")]
    assert len(shop.inbox) == 3


def test_what_is_wanted_again_fills_the_cap_for_others(any_shop: Shop) -> None:
    """Under `hold` a mail lost two days ago counts where it stood; wanted again, and waiting, it fills today."""
    quiet = "quiet_hours: {sms: 21:00-08:00, email: 13:00-18:00}"
    shop = in_doubt(any_shop, "ada", workspace=f"limits:\n  caps: [{{channel: any, max: 1, per: 1d}}]\n  {quiet}\n")
    shop.contact("bob", phone="+447700900123")
    shop.campaign("text", EVENT.replace("email: hello", "sms: text").replace("cart_updated", "cart_emptied"))
    shop.apply()
    shop.change("ada", phone="+447700900124")
    assert wanted(shop, "2026-11-05 15:00") == 1
    shop.run("cart")
    assert shop.sends("email.hello") == {"ada": "unsure"}
    for name in ("ada", "bob"):
        shop.event(name, "cart_emptied")
    shop.run("text")
    assert shop.sends("sms.text") == {"ada": "skipped:capped", "bob": "accepted"}
    shop.run_to("cart", "2026-11-05 20:00")
    assert shop.sends("email.hello") == {"ada": "accepted"}


def test_a_pause_forgets_nobody_and_a_stop_leaves_them_unsure(any_shop: Shop) -> None:
    """Ready to be sent again, then paused: unsure as before and still wanted; after a stop closed, and never sent."""
    shop = _ready_again(any_shop)
    with shop.store.write("ledger") as connection:
        assert release_campaign(connection, _campaign(shop), note="paused") == 1
    assert notes(shop)["ada"] == ("unsure", "paused")
    _until_ready(shop)
    with shop.store.write("ledger") as connection:
        assert withdraw(connection, _campaign(shop), at=shop.clock.now()) == 1
    assert notes(shop)["ada"] == ("closed", "stopped before it was sent again")
    shop.run("cart", "2026-11-04 10:00")
    assert (shop.inbox, shop.violations()) == (["ada"], [])


def test_who_falls_out_at_the_claim_stays_unsure(any_shop: Shop) -> None:
    """Consent withdrawn between the decision and the claim: closed, not skipped."""
    shop = _ready_again(any_shop)
    shop.consent("ada", "offers/email", "no")
    shop.run("cart")
    assert notes(shop)["ada"] == ("closed", "not sent again: no_consent")
    assert (shop.inbox, shop.violations()) == (["ada"], [])


def test_a_report_settles_what_is_ready_to_be_sent_again(any_shop: Shop) -> None:
    """Up to the claim: who is proved to have it gets no second one."""
    shop = _ready_again(any_shop)
    shop.report(FeedbackKind.DELIVERED, "ada", "email.hello")
    shop.run("cart")
    assert shop.sends("email.hello") == {"ada": "accepted"}
    assert shop.inbox == ["ada"]


def test_lost_again_it_wants_another_decision(any_shop: Shop) -> None:
    """The wish was for one repetition."""
    shop = in_doubt(any_shop, "ada")
    wanted(shop, "2026-11-03 12:00")
    shop.mail.answer = lost
    shop.run("cart")
    shop.mail.answer = taken
    shop.run("cart", "2026-11-05 12:00")
    assert shop.sends("email.hello") == {"ada": "unsure"}
    assert shop.inbox == ["ada", "ada"]
    wanted(shop, "2026-11-05 13:00")
    shop.run("cart")
    assert shop.inbox == ["ada", "ada", "ada"]
    assert shop.sends("email.hello") == {"ada": "accepted"}


def test_interrupted_anywhere_it_ends_in_the_same_rows(shop: Shop) -> None:
    """Before any transaction of the run that decides; a repetition sends to nobody twice."""
    for stop in range(1, 60, 4):
        name = f"p{stop}"
        shop.contact(name)
        if stop == 1:
            in_doubt(shop, name)
        else:
            shop.mail.answer = lost
            shop.event(name, "cart_updated")
            shop.run("cart")
            shop.mail.answer = taken
        wanted(shop, shop.clock.now())  # type: ignore[arg-type]
        try:
            shop.run("cart", stop_before=stop)
        except Interrupted:
            try:
                shop.run("cart")
            except AlreadyRunning:  # all was done; only the lease was not given back
                break
        else:
            break
        assert shop.sends("email.hello")[name] == "accepted"
        assert shop.inbox.count(name) == 2
        assert shop.violations() == []
    else:
        raise AssertionError("no run came to its end")


def _ready_again(shop: Shop) -> Shop:
    """One person who may have it once more, and whose batch nobody has taken in hand yet."""
    in_doubt(shop, "ada")
    wanted(shop, "2026-11-03 12:00")
    _until_ready(shop)
    return shop


def _until_ready(shop: Shop) -> None:
    decided = resend([load_ground(shop.store, "cart", shop.clock.now())], machine_now=shop.clock.now())
    assert [one.ready for one in decided["cart"]] == [1]
    assert shop.sends("email.hello")["ada"] == "ready"


def _campaign(shop: Shop) -> int:
    with shop.store.read() as connection:
        return int(connection.scalar(sa.select(t.campaign.c.id)) or 0)

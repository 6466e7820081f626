"""Feedback in and folded: each report once, people apart from machines, and signals for whoever must act."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.feedback.fold import FoldResult, fold, has_new
from carillon.feedback.ingest import ingest_feedback
from carillon.feedback.model import Feedback, FeedbackKind
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND
from carillon.kernel.tokens import Keyring, TokenKind
from carillon.store import tables as t
from tests.feedback.ground import EMAIL_NODE, KEYS, NOON, SMS_NODE, Ground, cid, report


def take(ground: Ground, *reports: Feedback) -> FoldResult:
    ingest_feedback(ground.store, reports, KEYS, NOON)
    return fold(ground.store, NOON)


def test_a_redelivered_report_is_kept_once(ground: Ground) -> None:
    """46 deliveries of one event under different event ids are one row."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    reports = [report("delivered", enrolment, raw={"sg_event_id": str(n)}) for n in range(46)]
    assert ingest_feedback(ground.store, reports[:20], KEYS, NOON).new == 1
    again = ingest_feedback(ground.store, reports[20:], KEYS, NOON + SECOND)
    assert (again.intake_id, again.new) == (None, 0)
    assert fold(ground.store, NOON) == FoldResult(intakes=1, arrivals=1, signals=0)
    assert ground.response(enrolment)["delivered_at"] == NOON


def test_a_fold_takes_every_arrival_once(ground: Ground) -> None:
    """A second fold of the same intakes finds nothing."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    assert take(ground, report("opened", enrolment, 1), report("opened", enrolment, 2)).arrivals == 2
    assert fold(ground.store, NOON) == FoldResult()
    assert not has_new(ground.store)
    assert (ground.response(enrolment)["opens"], ground.response(enrolment)["first_open"]) == (2, NOON + SECOND)
    assert ground.rows(sa.select(t.arrival)) == []


def test_a_click_that_comes_before_its_delivery_is_judged_when_the_delivery_comes(ground: Ground) -> None:
    """A click 3 seconds after delivery is a scanner's, whichever of the two reports arrives first."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    take(ground, report("clicked", enrolment, 13, url="https://shop.example/a"))
    assert ground.response(enrolment)["first_click"] == NOON + 13 * SECOND
    take(ground, report("delivered", enrolment, 10))
    after = ground.response(enrolment)
    assert (after["first_click"], after["clicks"], after["machine_click"]) == (None, 0, NOON + 13 * SECOND)


def test_all_links_at_once_are_a_scanners_clicks(ground: Ground) -> None:
    """Three links of three within ten seconds are no person; a person's click an hour later counts."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    burst = [report("clicked", enrolment, 100 + n, url=f"https://shop.example/{n}", link=n) for n in range(3)]
    take(ground, *burst, report("clicked", enrolment, 3700, url="https://shop.example/1", link=1))
    after = ground.response(enrolment)
    assert (after["first_click"], after["clicks"]) == (NOON + 3700 * SECOND, 1)
    assert after["machine_click"] == NOON + 100 * SECOND


def test_two_of_three_links_at_once_are_a_persons(ground: Ground) -> None:
    """A quick reader who opens two links is not taken for a scanner."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    take(ground, *(report("clicked", enrolment, 100 + n, link=n, url=f"u{n}") for n in range(2)))
    assert ground.response(enrolment)["clicks"] == 2


@pytest.mark.parametrize(
    "user_agent, machine",
    [
        ("Mozilla/5.0", True),  # Apple's mail proxy
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", True),
        ("BarracudaCentral", True),
        ("Outlook-Android/2.0", False),
        ("Superhuman", False),
        ("", False),
    ],
)
def test_opens_by_proxies_are_kept_apart(ground: Ground, user_agent: str, machine: bool) -> None:
    """A proxy's open is flagged and not counted; a mail program's is a person's."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    take(ground, report("opened", enrolment, 60, user_agent=user_agent))
    after = ground.response(enrolment)
    opened = (None, 0, NOON + 60 * SECOND) if machine else (NOON + 60 * SECOND, 1, None)
    assert (after["first_open"], after["opens"], after["machine_open"]) == opened


def test_the_providers_own_mark_makes_an_open_a_machines(ground: Ground) -> None:
    """sg_machine_open is believed whatever the agent says."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    take(ground, report("opened", enrolment, 60, machine=True))
    assert ground.response(enrolment)["first_open"] is None
    assert ground.signals("response") == []


def test_a_hard_bounce_and_a_complaint_suppress_and_a_block_does_not(ground: Ground) -> None:
    """The signal names the reported address, in the form in which addresses are suppressed."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    take(ground, report("bounced", enrolment, 1, bounce="block", address="Ada@Example.com"))
    assert ground.signals("suppress") == []
    take(ground, report("bounced", enrolment, 2, bounce="hard", address="Ada@Example.com"))
    take(ground, report("complained", enrolment, 3))
    assert ground.signals("suppress") == [
        ("suppress", "ada@example.com", "email"), ("suppress", "ada@example.com", "email")
    ]  # fmt: skip
    assert (ground.response(enrolment)["bounce"], ground.response(enrolment)["bounced_at"]) == ("hard", NOON + SECOND)


def test_feedback_without_our_id_is_found_by_the_providers(ground: Ground) -> None:
    """An SMS's own id leads to its send; a request's id and the address lead to one person of a SendGrid batch."""
    ground.contact("ada", phone_key="+491701")
    ground.contact("bob")
    sms, mail = ground.sent("ada", SMS_NODE), ground.sent("bob", ref="X-1")
    with ground.store.write("ledger") as connection:
        connection.execute(t.receipt.insert().values(node_id=SMS_NODE, enrolment_id=sms, provider_ref="SM1"))
    take(
        ground,
        report("delivered", second=1, channel=Channel.SMS, provider_ref="SM1", address="+491701"),
        report("bounced", second=2, bounce="hard", provider_ref="X-1.filter7", address="BOB@example.com"),
    )
    assert ground.response(sms)["delivered_at"] == NOON + SECOND
    assert ground.response(mail)["bounce"] == "hard"


def test_a_repeated_sms_callback_without_an_instant_of_its_own_is_known_by_its_key(ground: Ground) -> None:
    """Twilio sends no instant: the same status received a minute later is still the same report."""
    ground.contact("ada", phone_key="+491701")
    sms = ground.sent("ada", SMS_NODE)
    first = Feedback(report("delivered").kind, NOON, Channel.SMS, "twilio", "SM1\ndelivered", cid=cid(sms, SMS_NODE))
    later = Feedback(first.kind, NOON + 60 * SECOND, Channel.SMS, "twilio", first.natural_key, cid=first.cid)
    assert ingest_feedback(ground.store, [first], KEYS, NOON).new == 1
    assert ingest_feedback(ground.store, [later], KEYS, NOON).new == 0


def test_a_report_about_an_unsure_batch_is_proof_that_it_left(ground: Ground) -> None:
    """Any report of a send in an unsure or claimed batch leaves one signal to settle it."""
    ground.contact("ada")
    unsure, settled = ground.sent("ada", state="unsure"), ground.sent("ada", ref="req2")
    take(ground, report("processed", unsure), report("delivered", unsure, 1), report("delivered", settled, 1))
    assert ground.signals("settle") == [("settle", "", "1")]
    (row,) = ground.rows(sa.select(t.signal).where(t.signal.c.kind == "settle"))
    assert (row["node_id"], row["enrolment_id"]) == (EMAIL_NODE, unsure)


def test_a_forged_or_foreign_id_touches_nobody(ground: Ground) -> None:
    """A cid that we did not seal is kept as a report of nobody."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    forged = cid(enrolment)[:-1] + ("A" if cid(enrolment)[-1] != "A" else "B")
    take(ground, Feedback(report("clicked").kind, NOON, Channel.EMAIL, "sendgrid", "k", cid=forged))
    assert ground.rows(sa.select(t.response)) == []
    (event,) = ground.rows(sa.select(t.event))
    assert (event["contact_id"], event["enrolment_id"]) == (None, None)


def test_an_unsubscribe_link_outlives_its_key(ground: Ground) -> None:
    """The key was retired long ago; who unsubscribes with a mail sealed by it is still known."""
    ada = ground.contact("ada")
    enrolment = ground.sent("ada")
    raw = KEYS.make(TokenKind.UNSUBSCRIBE, EMAIL_NODE, enrolment)
    renewed = Keyring((b"a newer key of the tests, 32 bytes",), KEYS.keys)
    said = Feedback(FeedbackKind.UNSUBSCRIBED, NOON, Channel.EMAIL, "carillon", raw, cid=raw)
    ingest_feedback(ground.store, [said], renewed, NOON)
    fold(ground.store, NOON)
    (signal,) = ground.rows(sa.select(t.signal))
    assert (signal["kind"], signal["contact_id"], signal["subject"]) == ("withdraw", ada, "email")


def test_hostile_texts_and_instants_are_kept_harmless(ground: Ground) -> None:
    """NUL, half surrogates, endless agents and an instant beyond all calendars do not stop the others."""
    ground.contact("ada")
    enrolment = ground.sent("ada")
    hostile = report("clicked", enrolment, 60, url="a\0b\ud800", user_agent="x" * 10_000, raw={"n": 10**30})
    endless = Feedback(report("unknown").kind, 10**30, Channel.EMAIL, "sendgrid", "k2", raw={"a\0": {"b": [1, None]}})
    assert ingest_feedback(ground.store, [hostile, endless, report("delivered", enrolment)], KEYS, NOON).new == 3
    fold(ground.store, NOON)
    assert ground.response(enrolment)["delivered_at"] == NOON

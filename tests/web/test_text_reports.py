"""What Twilio reports hours after it took a text, signed and over a real server: each code and what follows from it."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from twilio.request_validator import RequestValidator

from carillon.delivery.holds import go_on, held_connectors
from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold
from carillon.kernel.channels import Channel
from carillon.store import tables as t
from tests.feedback.ground import NOON, RULES, SMS_NODE, cid
from tests.web.conftest import TWILIO_TOKEN, Web

NUMBER = "+491701234567"


def tell(web: Web, path: str, query: str = "", **form: str) -> None:
    """A callback as Twilio signs it; what came in is folded and acted upon."""
    url = f"/webhooks/twilio/{path}{query}"
    signature = RequestValidator(TWILIO_TOKEN).compute_signature(f"{RULES.public_url}{url}", form)
    headers = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}
    answer = web.browser.post(url, content=urlencode(form), headers=headers)
    assert answer.status_code in (200, 204), answer.text
    fold(web.ground.store, NOON)
    apply_effects(web.ground.store, NOON, RULES)


def failed(web: Web, code: str, *, name: str = "ada", status: str = "undelivered", begun_at: int | None = None) -> int:
    """A text to a person that Twilio took at an instant, and then reported so; the enrolment."""
    web.ground.contact(name, phone_key=NUMBER)
    enrolment = web.ground.sent(name, node=SMS_NODE)
    with web.ground.store.write("ledger") as connection:
        its = sa.select(t.send.c.batch_id).where(t.send.c.enrolment_id == enrolment).scalar_subquery()
        connection.execute(t.batch.update().where(t.batch.c.id == its).values(begun_at=begun_at))
    sid = f"SM{name}{code}"
    tell(
        web,
        "status",
        f"?cid={cid(enrolment, SMS_NODE)}",
        MessageSid=sid,
        MessageStatus=status,
        ErrorCode=code,
        To=NUMBER,
    )
    return enrolment


def suppressed(web: Web) -> list[str]:
    return [
        row["reason"]
        for row in web.ground.rows(sa.select(t.suppression.c.reason).where(t.suppression.c.lifted_at.is_(None)))
    ]


def held(web: Web) -> dict[str, str]:
    with web.ground.store.read() as connection:
        return dict(held_connectors(connection))


@pytest.mark.parametrize(
    ("code", "bounce", "reasons"),
    [
        ("30001", "soft", []),  # the queue ran over
        ("30003", "soft", []),  # out of reach: another day it may be
        ("30004", "block", []),  # blocked
        ("30005", "hard", ["hard_bounce"]),  # unknown destination
        ("30006", "hard", ["hard_bounce"]),  # a landline
        ("30007", "block", []),  # the carrier filtered the text
        ("30008", "soft", []),  # unknown
        ("30036", "soft", []),  # too late
        ("30450", "block", []),  # pumping
        ("30610", "block", []),  # US quiet hours
        ("30640", "block", []),  # somebody who sues
        ("21610", "block", ["stop"]),  # once said STOP
    ],
)
def test_a_text_that_failed_later_counts_as_come_back_and_only_dead_numbers_are_suppressed(
    web: Web, code: str, bounce: str, reasons: list[str]
) -> None:
    """The send stays accepted, its response says how it came back; no connector is held for it."""
    enrolment = failed(web, code)
    after = web.ground.response(enrolment)
    assert (after["bounce"], after["bounced_at"] is not None) == (bounce, True)
    assert suppressed(web) == reasons
    assert held(web) == {}


@pytest.mark.parametrize("code", ["30002", "30034"])
def test_a_suspended_account_or_an_unregistered_sender_holds_its_connector(web: Web, code: str) -> None:
    """Everything else would fail alike and cost: nothing more goes until a person says so, and nobody is suppressed."""
    failed(web, code, status="failed")
    assert held(web) == {"sandbox": code}
    assert suppressed(web) == []


def test_late_reports_about_earlier_texts_do_not_hold_again(web: Web) -> None:
    """The account works again since `resume`; what was handed over before it still fails, what comes after it counts."""
    failed(web, "30002", status="failed", begun_at=NOON - 2)
    go_on(web.ground.store, "sandbox", who="ann", why="paid", at=NOON)
    failed(web, "30002", name="bob", status="failed", begun_at=NOON - 1)
    assert held(web) == {}
    failed(web, "30034", name="cleo", status="failed", begun_at=NOON + 1)
    assert held(web) == {"sandbox": "30034"}


def test_a_callback_of_21610_is_a_stop_and_a_start_takes_it_back(web: Web) -> None:
    """Nobody under that number gets a text about anything, until the owner says START."""
    failed(web, "21610")
    with web.ground.store.read() as connection:
        said = connection.execute(
            sa.select(t.consent.c.channel, t.consent.c.state).where(t.consent.c.source == "feedback").distinct()
        ).all()
    assert [tuple(row) for row in said] == [(str(Channel.SMS), "no")]
    web.clock.move_to(web.clock.now() + 1)
    tell(web, "inbound", MessageSid="SMin", From=NUMBER, To="+15005550006", Body="START")
    assert suppressed(web) == []

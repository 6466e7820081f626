"""Effects: what feedback says about addresses and consent reaches core once, and standing with it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.feedback.adopt import adopt_aliases
from carillon.feedback.effects import Effects, apply_effects
from carillon.feedback.fold import fold
from carillon.feedback.ingest import ingest_feedback
from carillon.feedback.model import Feedback, FeedbackKind
from carillon.kernel.channels import SUPPRESSED, Channel, closed_bit
from carillon.kernel.clock import SECOND
from carillon.store import tables as t
from tests.feedback.ground import KEYS, NOON, RULES, Ground, report


def take(ground: Ground, *reports: Feedback) -> Effects:
    ingest_feedback(ground.store, reports, KEYS, NOON)
    fold(ground.store, NOON)
    return apply_effects(ground.store, NOON, RULES)


def stop(second: int, kind: str = "unsubscribed") -> Feedback:
    return Feedback(FeedbackKind(kind), NOON + second * SECOND, Channel.SMS, "twilio", f"SM{second}", address="+491701")


def words(ground: Ground) -> list[tuple[int, str, str, str]]:
    c = t.consent.c
    rows = ground.rows(sa.select(c.contact_id, c.topic, c.channel, c.state).order_by(c.at, c.contact_id, c.topic))
    return [tuple(row.values()) for row in rows]  # type: ignore[misc]


def test_a_hard_bounce_closes_the_address_once(ground: Ground) -> None:
    """The address is suppressed, standing says so at once, and repeating the effects changes nothing."""
    ada = ground.contact("ada")
    assert take(ground, report("bounced", ground.sent("ada"), bounce="hard")) == Effects(suppressed=1)
    assert apply_effects(ground.store, NOON, RULES) == Effects()
    (standing,) = ground.rows(sa.select(t.standing).where(t.standing.c.contact_id == ada))
    assert standing["closed_bits"] & closed_bit(SUPPRESSED, Channel.EMAIL)
    (row,) = ground.rows(sa.select(t.suppression))
    assert (row["address_key"], row["reason"], row["at"]) == ("ada@example.com", "hard_bounce", NOON)


def test_an_unsubscribe_withdraws_the_topic_of_its_campaign_on_its_channel(ground: Ground) -> None:
    """Nobody loses order confirmations because an offer was unsubscribed."""
    ada = ground.contact("ada")
    assert take(ground, report("unsubscribed", ground.sent("ada"))).consents == 1
    assert words(ground) == [(ada, "offers", "email", "no")]
    (standing,) = ground.rows(sa.select(t.standing).where(t.standing.c.contact_id == ada))
    assert standing["deny_bits"] != 0


def test_stop_means_all_sms_of_everybody_under_the_number(ground: Ground) -> None:
    """STOP names no campaign: both contacts with the number lose every topic on SMS, and the number is closed."""
    ada, bob = ground.contact("ada", phone_key="+491701"), ground.contact("bob", phone_key="+491701")
    done = take(ground, stop(1))
    assert done == Effects(suppressed=1, consents=4)
    assert {(contact, topic) for contact, topic, *_ in words(ground)} == {
        (who, topic) for who in (ada, bob) for topic in ("offers", "service")
    }


def test_start_takes_back_what_stop_said_and_nothing_else(ground: Ground) -> None:
    """A no from the preference page outlives START."""
    ada = ground.contact("ada", phone_key="+491701")
    take(ground, stop(1))
    with ground.store.write("core") as connection:
        connection.execute(
            t.consent.insert().values(
                contact_id=ada, topic="offers", channel="sms", state="no", source="preferences", at=NOON + 2 * SECOND
            )
        )
    take(ground, stop(3, "resubscribed"))
    assert words(ground)[-1] == (ada, "service", "sms", "yes")
    (row,) = ground.rows(sa.select(t.suppression))
    assert row["lifted_at"] == NOON + 3 * SECOND


def test_start_gives_back_what_stood_before_stop_and_no_yes_that_was_never_said(ground: Ground) -> None:
    """STOP was of every topic: an order's texts come again, offers only for whom had said yes to them, confirmed as it was."""
    had, had_not = ground.contact("ada", phone_key="+491701"), ground.contact("bob", phone_key="+491701")
    with ground.store.write("core") as connection:
        connection.execute(
            t.consent.insert().values(
                contact_id=had, topic="offers", channel="sms", state="confirmed", source="import", at=NOON - SECOND
            )
        )
    take(ground, stop(1))
    take(ground, stop(2))
    take(ground, stop(3, "resubscribed"))
    given_back = [word for word in words(ground) if word[3] != "no"]
    assert sorted(given_back[1:]) == [
        (had, "offers", "sms", "confirmed"), (had, "service", "sms", "yes"), (had_not, "service", "sms", "yes"),
    ]  # fmt: skip


def orphan(ground: Ground, key: str, value: int | None = 1000) -> None:
    """A shop's event that came before its contact."""
    with ground.store.write("events") as connection:
        intake = connection.execute(
            t.intake.insert().values(received_at=NOON, source="track", n=1).returning(t.intake.c.id)
        ).scalar_one()
        connection.execute(
            t.event.insert().values(
                occurred_at=NOON, hash64=len(key), kind="order_completed", orphan_key=key, intake_id=intake,
                value_cents=value, props={},
            )
        )  # fmt: skip
        connection.execute(t.arrival.insert().values(intake_id=intake, occurred_at=NOON, hash64=len(key)))


@pytest.mark.parametrize("is_folded_before", [True, False])
def test_an_orphaned_event_is_folded_when_its_contact_comes(ground: Ground, is_folded_before: bool) -> None:
    """Before the contact it counts for nobody; afterwards it is a purchase and a signal, once."""
    orphan(ground, "ada")
    if is_folded_before:
        fold(ground.store, NOON)
    assert ground.signals("event") == []
    ada = ground.contact("ada")
    assert apply_effects(ground.store, NOON, RULES).adopted == 1
    assert apply_effects(ground.store, NOON, RULES).adopted == 0
    fold(ground.store, NOON)
    assert ground.signals("event") == [("event", "order_completed", "")]
    (stat,) = ground.rows(sa.select(t.contact_stat))
    assert (stat["contact_id"], stat["n"], stat["value_cents"]) == (ada, 1, 1000)
    assert len(ground.rows(sa.select(t.purchase))) == 1


def test_what_an_anonymous_visitor_did_is_theirs_once_they_are_known(ground: Ground) -> None:
    """An alias gives the events under the anonymous id to the contact."""
    orphan(ground, "anonymous:x1", None)
    fold(ground.store, NOON)
    ada = ground.contact("ada")
    assert adopt_aliases(ground.store, NOON, {"anonymous:x1": ada}) == 1
    fold(ground.store, NOON)
    (stat,) = ground.rows(sa.select(t.contact_stat))
    assert stat["contact_id"] == ada

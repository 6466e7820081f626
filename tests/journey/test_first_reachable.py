"""`first_reachable`: one node, one send, on the first channel with address, consent and no suppression (language.md §2)."""

from __future__ import annotations

from carillon.foresight.explain import explain
from carillon.foresight.hypothetical import hypothetical
from carillon.foresight.outlook import outlook
from carillon.journey.ground import load_ground
from tests.shop import Shop

LAST_DAYS = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - first_reachable: [{sms: last_days}, {email: last_days}]
  - wait: 1d
  - choose:
      - {if: {received: last_days}, then: {exit: told}}
      - otherwise: {exit: untold}
"""
PHONE = "+44770090000"


def people(shop: Shop) -> None:
    shop.contact("both", phone=f"{PHONE}1")
    shop.contact("mail")
    shop.contact("refuses_sms", phone=f"{PHONE}2", consent=("offers/email",))
    shop.contact("dead_phone", phone=f"{PHONE}3")
    shop.suppress(f"{PHONE}3", "sms")
    shop.contact("neither", email=None, consent=())


def apply(shop: Shop) -> None:
    shop.campaign("sale", LAST_DAYS)
    shop.apply()


def test_the_first_channel_that_reaches_the_contact_is_taken(any_shop: Shop) -> None:
    """One send each; who is reached by none is skipped with the reason of the last channel."""
    people(any_shop)
    apply(any_shop)
    any_shop.run("sale", "2026-12-01 09:00")
    assert sorted(letter.address for letter in any_shop.texts.letters) == [f"{PHONE}1"]
    assert sorted(any_shop.inbox) == ["dead_phone", "mail", "refuses_sms"]
    assert any_shop.skips == {"neither": "no_address"}
    assert len(any_shop.sends("sms.last_days")) == 5
    any_shop.run("sale", "2026-12-02 09:00")
    assert any_shop.enrolments["both"] == any_shop.enrolments["mail"] == "told"
    assert any_shop.enrolments["neither"] == "untold"


def test_a_channel_that_closes_before_the_claim_gives_way_to_the_next(any_shop: Shop) -> None:
    """STOP comes after the decision: the SMS is not sent, the e-mail is, and it is still one send."""
    any_shop.contact("ada", phone=f"{PHONE}1")
    apply(any_shop)
    any_shop.at("2026-12-01 09:00")
    stops = iter([True])

    def connectors() -> dict[str, object]:
        if next(stops, False):
            any_shop.suppress(f"{PHONE}1", "sms")
        return {post.name: post for post in (any_shop.mail, any_shop.texts)}

    any_shop.run("sale", connectors=connectors)  # type: ignore[arg-type]
    assert (any_shop.texts.letters, any_shop.inbox) == ([], ["ada"])
    assert any_shop.sends("sms.last_days") == {"ada": "accepted"}


def test_a_full_cap_is_no_reason_for_the_next_channel(any_shop: Shop) -> None:
    any_shop.workspace("limits: {caps: [{channel: sms, max: 1, per: 1d}]}\n")
    any_shop.contact("ada", phone=f"{PHONE}1")
    any_shop.campaign("first", "audience: everyone\nentry: {at: 2026-12-01 08:00}\njourney: [{sms: hello}]\n")
    apply(any_shop)
    any_shop.run("first", "2026-12-01 08:00")
    any_shop.run("sale", "2026-12-01 09:00")
    assert (any_shop.skips, any_shop.inbox) == ({"ada": "capped"}, [])


def test_plan_and_explain_ask_each_channel_by_the_same_select(shop: Shop) -> None:
    """`plan` counts who gets it by which channel; `explain` names the channel."""
    people(shop)
    shop.campaign("sale", LAST_DAYS)
    draft = shop.draft("sale")
    with shop.store.read() as connection:
        ground = hypothetical(shop.store, connection, draft.plan, draft.rules, shop.clock.now())
        seen = outlook(connection, ground, draft.contents)
    assert [(f.label, f.reached, f.gets) for f in seen.first_messages] == [
        ("sms.last_days by sms", 1, 1),
        ("sms.last_days by email", 4, 3),
    ]
    assert (seen.gets_it, seen.gets_nothing) == ("both", ("neither", "no_address"))
    apply(shop)
    with shop.store.read() as connection:
        told = explain(connection, load_ground(shop.store, "sale", shop.clock.now()), "mail")
    assert told.messages == (("sms.last_days", "would get it by email"),)

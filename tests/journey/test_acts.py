"""`set`, `unsubscribe`, `enter`: what a journey does to a contact, with evidence, once, and not to the holdout."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from carillon.experiment.holdout import GLOBAL
from carillon.kernel.ids import bucket, h31
from carillon.store import tables as t
from tests.shop import DATA, Interrupted, Shop

FIELDS = DATA.replace(
    "points: number",
    "points: number, nps_group: {one_of: [promoter, detractor], set_by: campaigns}, asked: {type: flag, set_by: campaigns},"
    " worth: {type: money, set_by: campaigns}, since: {type: date, set_by: campaigns}",
)
HELD = next(name for name in (f"h{n}" for n in range(1000)) if bucket(GLOBAL, h31(name)) < 500)
"""Somebody whom a global holdout of 5 % takes."""


def start(shop: Shop, steps: str, more: str = "") -> None:
    shop.workspace("holdout: 5%\n")
    shop.write("data.yaml", FIELDS)
    for name in ("ada", "bob", HELD):
        shop.contact(name)
    shop.campaign(
        "sale", f"topic: offers\naudience: everyone\nentry: {{at: 2026-12-01 09:00}}\n{more}journey:\n{steps}"
    )


def attrs(shop: Shop, name: str) -> dict[str, object]:
    with shop.store.read() as connection:
        return dict(connection.execute(sa.select(t.contact.c.attrs).where(t.contact.c.shop_id == name)).scalar_one())


def changes(shop: Shop, name: str) -> list[tuple[str, str | None, str | None]]:
    c = t.contact_change.c
    with shop.store.read() as connection:
        query = sa.select(c.field, c.old, c.new).where(c.contact_id == shop.id_of(name)).order_by(c.id)
        return [tuple(row) for row in connection.execute(query)]


def said(shop: Shop, name: str) -> list[tuple[str, str, str, str]]:
    c = t.consent.c
    with shop.store.read() as connection:
        query = sa.select(c.topic, c.channel, c.state, c.evidence).where(
            c.contact_id == shop.id_of(name), c.state == "no"
        )
        return [tuple(row) for row in connection.execute(query.order_by(c.channel))]


SET = "  - set: {nps_group: detractor, asked: true, worth: 19.90, since: 2026-12-01}\n"


def test_set_writes_fields_with_their_types_and_a_history(any_shop: Shop) -> None:
    """Text, flag, cents and date; conditions behind the step read them; the holdout is left alone."""
    start(
        any_shop,
        SET + "  - choose: [{if: {contact: {worth: {over: 19}}}, then: {exit: dear}}, {otherwise: {exit: no}}]\n",
    )
    any_shop.change("ada", tier="gold", nps_group="promoter")
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    told = {"nps_group": "detractor", "asked": True, "worth": 1990, "since": "2026-12-01"}
    assert attrs(any_shop, "ada") == {"tier": "gold", **told}
    assert attrs(any_shop, HELD) == {}
    assert changes(any_shop, "ada")[-4:] == [
        ("nps_group", "promoter", "detractor"),
        ("asked", None, "true"),
        ("worth", None, "1990"),
        ("since", None, "2026-12-01"),
    ]
    assert any_shop.enrolments == {"ada": "dear", "bob": "dear", HELD: "no"}


def test_set_overwrites_nothing_that_was_told_after_it(any_shop: Shop) -> None:
    """Killed between core and ledger; then the shop tells another word; the advance that goes on leaves that alone."""
    start(any_shop, "  - {wait: 1h, id: an_hour}\n  - set: {nps_group: detractor}\n  - wait: 1d\n")
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.at("2026-12-01 10:00")  # nothing else is written before the field: no attempt shortens the next one
    for number in range(30):
        try:
            any_shop.run("sale", stop_before=number)
        except Interrupted:
            if attrs(any_shop, "ada").get("nps_group") == "detractor":
                any_shop.change("ada", nps_group="promoter")
                break
    any_shop.run("sale")
    assert attrs(any_shop, "ada")["nps_group"] == "promoter"
    assert [new for field, _, new in changes(any_shop, "ada") if field == "nps_group"] == ["detractor", "promoter"]
    assert any_shop.standing("wait.entry") == ["ada", "bob", HELD]


def test_unsubscribe_ends_the_consent_with_its_evidence(any_shop: Shop) -> None:
    """The SMS consent ends and the e-mail's stays; said once, however often the advance is interrupted."""
    start(any_shop, "  - unsubscribe: {topic: offers, channel: sms, reason: sunset}\n  - email: bye\n  - sms: bye\n")
    any_shop.apply()
    any_shop.at("2026-12-01 09:00")
    for number in range(40):
        try:
            any_shop.run("sale", stop_before=number)
            break
        except Interrupted:
            continue
    assert said(any_shop, "ada")[0][:3] == ("offers", "sms", "no")
    assert said(any_shop, "ada")[0][3].startswith("sale/unsubscribe.entry, enrolment ")
    assert said(any_shop, "ada")[0][3].endswith(": sunset")
    assert (len(said(any_shop, "ada")), said(any_shop, HELD)) == (1, [])
    assert sorted(any_shop.inbox) == ["ada", "bob"]


def test_without_a_channel_every_consent_of_the_topic_ends(any_shop: Shop) -> None:
    start(any_shop, "  - unsubscribe: {topic: offers}\n  - email: bye\n")
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    assert [row[1] for row in said(any_shop, "ada")] == ["email", "sms"]
    assert any_shop.skips == {"ada": "no_consent", "bob": "no_consent"}


@pytest.mark.parametrize("again", ["never", "always"])
def test_enter_goes_on_in_another_campaign_by_its_own_rules(any_shop: Shop, again: str) -> None:
    """Its audience and `again` decide; who is under way there is not taken twice; the journey here goes on."""
    any_shop.write("nurture/campaign.yaml", "topic: offers\nentry: {api: true}\njourney: [{exit: x}]\n")
    start(any_shop, "  - enter: nurture\n  - email: bye\n")
    any_shop.change("ada", tier="gold")
    any_shop.change("bob", tier="basic")
    any_shop.campaign(
        "nurture",
        f"audience: {{contact: {{tier: gold}}}}\nentry: {{api: true, again: {again}}}\njourney: [{{email: hello}}]\n",
    )
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    any_shop.run("nurture")
    assert any_shop.sends("email.hello") == {"ada": "accepted"}
    assert [(w[0], w[2]) for w in any_shop.waves()] == [("at", 3), ("api", 1)]
    assert sorted(any_shop.inbox) == ["ada", "ada", "bob"]
    any_shop.campaign("more", "audience: everyone\nentry: {at: 2026-12-02 09:00}\njourney: [{enter: nurture}]\n")
    any_shop.apply("more")
    any_shop.run("more", "2026-12-02 09:00")
    any_shop.run("nurture")
    assert len([name for name in any_shop.inbox if name == "ada"]) == (2 if again == "never" else 3)


def test_a_campaign_that_takes_nobody_in_holds_nobody_up(any_shop: Shop) -> None:
    start(any_shop, "  - enter: nurture\n  - email: bye\n")
    any_shop.campaign("nurture", "state: draft\naudience: everyone\nentry: {api: true}\njourney: [{email: hello}]\n")
    any_shop.apply("sale")
    any_shop.run("sale", "2026-12-01 09:00")
    assert sorted(any_shop.inbox) == ["ada", "bob"]

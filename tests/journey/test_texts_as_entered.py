"""Which text people get: the newest to everybody, or with `messages: as_entered` the one that stood when they entered."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from carillon.delivery.editions import content_ids
from carillon.foresight.explain import explain
from carillon.journey.ground import load_ground
from carillon.kernel.tokens import Token, TokenKind
from carillon.messages.content import links_from
from carillon.store import tables as t
from carillon.web.links import LinkTable
from tests.shop import KEYS, Shop

SERIES = """\
audience: everyone
entry: {every: day, at: 09:00, again: never}
KEEPS
journey: [{wait: 2d}, {email: note}]
"""


def series(shop: Shop, subject: str, keeps: str, more: str = "") -> None:
    """The campaign with this subject, applied now."""
    yaml = SERIES.replace("KEEPS\n", keeps) + more
    shop.campaign("series", yaml, {"note.yaml": f"subject: {subject}\ntexts: {{headline: Hi}}\n"})
    shop.apply()


@pytest.mark.parametrize(
    "keeps, first", [("", "second"), ("messages: newest\n", "second"), ("messages: as_entered\n", "first")]
)
def test_people_get_the_newest_text_or_the_one_that_stood_when_they_entered(any_shop: Shop, keeps: str, first: str):
    """Ada entered before the text was changed, Bob after it: one reserve, two batches where the old text is kept."""
    shop = any_shop
    shop.contact("ada")
    series(shop, "first", keeps)
    shop.run("series", "2026-11-03 09:00")
    shop.at("2026-11-03 15:00")
    shop.contact("bob")
    series(shop, "second", keeps)
    shop.run("series", "2026-11-04 09:00")
    shop.run("series", "2026-11-06 09:00")
    assert {letter.address: letter.text for letter in shop.mail.letters} == {
        "ada@example.com": first, "bob@example.com": "second",
    }  # fmt: skip
    assert shop.violations() == []


def test_explain_names_the_edition_that_a_message_was_made_from(shop: Shop):
    shop.contact("ada")
    series(shop, "first", "messages: as_entered\n")
    shop.run("series", "2026-11-03 09:00")
    shop.at("2026-11-03 15:00")
    series(shop, "second", "messages: as_entered\n")
    shop.run("series", "2026-11-05 09:00")
    with shop.store.read() as connection:
        (way,) = explain(connection, load_ground(shop.store, "series", shop.clock.now()), "ada").ways
    assert [told.what for told in way.happenings if told.step == "email.note"] == [
        "email accepted, the texts of 2026-11-02 11:00 UTC", "attempt 1 of batch 1 by sandbox.email: accepted",
    ]  # fmt: skip


def test_a_language_that_came_later_has_its_oldest_text(shop: Shop):
    """Ada speaks German from the second day on, in which nothing was written when she entered."""
    shop.contact("ada")
    series(shop, "first", "messages: as_entered\n")
    shop.run("series", "2026-11-03 09:00")
    for hour, german in (("15:00", "Erster"), ("16:00", "Zweiter")):
        shop.at(f"2026-11-03 {hour}")
        shop.change("ada", language="de")
        shop.write("series/messages/note.de.yaml", f"subject: {german}\ntexts: {{headline: Hallo}}\n")
        series(shop, "second", "messages: as_entered\n")
    shop.run("series", "2026-11-05 09:00")
    assert [letter.text for letter in shop.mail.letters] == ["Erster"]


def test_links_of_a_kept_text_lead_where_they_led(shop: Shop):
    """The new design has another link: what the kept text numbers leads where it led, and nowhere else."""
    shop.contact("ada")
    series(shop, "first", "messages: as_entered\n")
    shop.run("series", "2026-11-03 09:00")
    shop.at("2026-11-03 15:00")
    design = (shop.campaigns / "series/messages/note.html").read_text()
    yaml = (shop.campaigns / "series/campaign.yaml").read_text()
    files = {"note.yaml": "subject: second\ntexts: {headline: Hi}\n"}
    shop.campaign("series", yaml, files | {"note.html": design.replace("/sale", "/new")})
    shop.apply()
    shop.run("series", "2026-11-05 09:00")
    ((node, enrolment, texts_at),) = shop._rows(
        sa.select(t.send.c.node_id, t.send.c.enrolment_id, t.batch.c.texts_at).join(
            t.batch, t.batch.c.id == t.send.c.batch_id
        )
    )
    with shop.store.read() as connection:
        kept = content_ids(connection, [(node, "", "email", "en", texts_at)])
        written = json.loads(
            connection.scalars(sa.select(t.content.c.links).where(t.content.c.id.in_(kept.values()))).one()
        )
    led = [
        LinkTable(shop.store, KEYS).target(Token(TokenKind.MESSAGE, node, enrolment), n, None)
        for n in range(len(written))
    ]
    assert any("/sale" in str(url) for url in led)
    assert led == [link.url for link in links_from(written)]

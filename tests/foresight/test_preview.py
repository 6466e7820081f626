"""A preview reads like the message that is sent, and sends nothing."""

from __future__ import annotations

import pytest

from carillon.foresight.preview import Preview, previews
from carillon.reports.gallery import gallery
from carillon.store import tables as t
from tests.shop import Shop

SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}, {sms: last}]\n"
FILES = {
    "sale.yaml": "subject: \"{{ contact.first_name | default: 'Hello' }}, look\"\ntexts: {headline: Sale}\n",
    "last.sms.txt": "{{ contact.first_name | default: 'Hello' }}: last days\n",
}


def look(shop: Shop, contact: str | None = None) -> list[Preview]:
    with shop.store.read() as connection:
        return list(previews(connection, shop.draft("sale"), shop.clock.now(), contact))


def test_three_readers_see_each_message(any_shop: Shop) -> None:
    """A real contact, the longest name of all contacts, and one without a name."""
    any_shop.campaign("sale", SALE, FILES)
    any_shop.contact("ada", first_name="Ada")
    any_shop.contact("max", first_name="Maximiliane-Alexandra", language="de")
    mail, sms = look(any_shop)
    assert [(s.reader, s.subject) for s in mail.shown] == [
        ("typical", "Ada, look"), ("longest name", "Maximiliane-Alexandra, look"), ("no name", "Hello, look"),
    ]  # fmt: skip
    assert [s.segments.units for s in sms.shown if s.segments] == [14, 32, 16]


def test_a_preview_is_the_letter_that_is_sent(shop: Shop) -> None:
    """The same rendering as a run's: with this contact's values the subject is that of the letter."""
    shop.campaign("sale", SALE, FILES)
    shop.contact("ada", first_name="Ada & Co")
    seen = look(shop, "ada")[0].shown[0]
    shop.apply()
    shop.run_to("sale", "2026-12-01 20:00")
    assert [letter.text for letter in shop.mail.letters] == [seen.subject]


def test_without_contacts_an_example_reads(shop: Shop) -> None:
    """A new workspace has nobody yet: the preview works, and no contact is claimed."""
    shop.campaign("sale", SALE, FILES)
    assert look(shop)[0].shown[0].subject == "Alex, look"
    with pytest.raises(LookupError, match='no contact "nobody"'):
        look(shop, "nobody")


def test_a_reader_who_would_get_nothing_is_told_why(shop: Shop) -> None:
    """`{% skip %}` shows its reason instead of a message."""
    words = {"last.sms.txt": "{% unless contact.tier %}{% skip 'no tier' %}{% endunless %}Hi\n"}
    shop.campaign("sale", SALE, {**FILES, **words})
    shop.contact("ada", first_name="Ada", tier="gold")
    assert [s.withheld for s in look(shop)[1].shown] == [None, None, None]
    shop.contact("bob", first_name="Bob")
    assert [s.withheld for s in look(shop, "bob")[1].shown] == ["no tier", "no tier", "no tier"]


def test_the_gallery_escapes_what_strangers_wrote(shop: Shop) -> None:
    """A name that is markup is text on the page and within the mail's frame; the frame runs no script."""
    shop.campaign("sale", SALE, FILES)
    shop.contact("eve", first_name='"><script>alert(1)</script>')
    page = gallery("<Sale>", look(shop), "note")
    assert "<script" not in page
    assert "&lt;Sale&gt;" in page
    assert page.count('sandbox=""') == page.count("<iframe") == 6


def test_links_of_a_preview_lead_where_they_say(shop: Shop) -> None:
    """No redirect of ours stands before the target, and none of the links counts as anybody's click."""
    personal = FILES | {
        "sale.html": "<p><a href='https://acme.example/?a={{ contact.tier }}&b=1'>x</a></p>{{ brand.address }} {{ links.unsubscribe }}"
    }
    shop.campaign("sale", SALE, personal)
    shop.contact("ada", first_name="Ada", tier="gold")
    seen = look(shop)[0].shown[0]
    assert 'href="https://acme.example/?a=gold&amp;b=1&amp;utm_source=carillon' in seen.html
    assert "/c/" not in seen.html


def test_previewing_writes_nothing(shop: Shop) -> None:
    """No campaign, no send, no content in the store."""
    shop.campaign("sale", SALE, FILES)
    shop.contact("ada", first_name="Ada")
    look(shop)
    assert [shop.count(table) for table in (t.campaign, t.send, t.content)] == [0, 0, 0]

"""`confirm` under a topic: what keeps it from asking is said at its place, and nothing of it is read and then ignored."""

from __future__ import annotations

import pytest

from tests.definition.conftest import RIGHT, Shop

CONSENT = "consent: {email: explicit, sms: explicit}"
WORDS = "subject: Is it you?\n"
DESIGN = "Yes: {{ links.confirm }}\n"


def with_topic(shop: Shop, consent: str, more: str = "confirm: ask") -> Shop:
    """The workspace whose topic `offers` says this."""
    return shop.put({"workspace.yaml": RIGHT["workspace.yaml"].replace(CONSENT, f"consent: {consent}, {more}")})


def test_a_topic_that_asks_by_mail_and_text_is_clean_and_has_a_campaign_for_each(shop: Shop) -> None:
    """One message of the workspace, its files as a campaign's; one of the languages may do without."""
    shop.put({"messages/ask.yaml": WORDS, "messages/ask.txt": DESIGN, "messages/ask.sms.txt": DESIGN})
    loaded = with_topic(shop, "{email: double, sms: double}").load()
    assert loaded.problems == []
    assert sorted(loaded.campaigns) == ["confirm-offers-email", "confirm-offers-sms", "sale"]


PROBLEMS = {
    "no such message": ("{email: double, sms: explicit}", {"messages/asks.yaml": WORDS, "messages/asks.txt": DESIGN}, [
        "WSP104  no message \"ask\": messages/ask.yaml and messages/ask.mjml are missing",
        "WSP110  no topic asks with the message \"asks\"", "WSP110  no topic asks with the message \"asks\"",
    ]),
    "no text message": ("{email: double, sms: double}", {"messages/ask.yaml": WORDS, "messages/ask.txt": DESIGN}, [
        "WSP104  the message \"ask\" is not complete: messages/ask.sms.txt is missing",
    ]),
    "no link": ("{email: double, sms: explicit}", {"messages/ask.yaml": WORDS, "messages/ask.txt": "Hi\n"}, [
        "WSP108  the mail \"ask\" has no link to confirm with",
    ]),
    "nothing to confirm": ("{email: explicit, sms: explicit}", {"messages/ask.yaml": WORDS, "messages/ask.txt": DESIGN}, [
        "WSP108  no channel of \"offers\" wants a second yes: nothing would be confirmed",
    ]),
    "by push": ("{email: double, sms: explicit, push: double}", {"messages/ask.yaml": WORDS, "messages/ask.txt": DESIGN}, [
        "WSP108  push cannot ask for a second yes",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_keeps_a_topic_from_asking(shop: Shop, name: str) -> None:
    consent, files, expected = PROBLEMS[name]
    said = with_topic(shop.put(files), consent).headlines()
    assert sorted(line.partition("  ")[2] for line in said) == sorted(expected)


def test_a_link_in_a_layout_will_do(shop: Shop) -> None:
    shop.put({"messages/ask.yaml": WORDS, "messages/ask.html": '{% include "button.html" %}\n'})
    shop.put({"shared/button.html": '<a href="{{ links.confirm }}">Yes</a>\n'})
    assert with_topic(shop, "{email: double, sms: explicit}").headlines() == []


def test_double_without_confirm_is_no_problem(shop: Shop) -> None:
    """Confirmed yeses may come from elsewhere."""
    loaded = with_topic(shop, "{email: double, sms: explicit}", "name: Offers").load()
    assert sorted(loaded.campaigns) == ["sale"]


def test_a_campaign_cannot_stand_under_the_topic_that_asks(shop: Shop) -> None:
    """Nor can any condition name it: it is not the marketer's."""
    shop.put({"messages/ask.yaml": WORDS, "messages/ask.txt": DESIGN})
    with_topic(shop, "{email: double, sms: explicit}")
    shop.put({"sale/campaign.yaml": RIGHT["sale/campaign.yaml"].replace("topic: offers", "topic: confirm-offers")})
    assert [line.partition("  ")[2] for line in shop.headlines()] == [
        'CAR203  "confirm-offers" is not the name of a topic'
    ]

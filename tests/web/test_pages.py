"""What a reader meets: pixel, clicks, unsubscribe and preferences, over a real server."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold
from carillon.kernel.clock import SECOND
from carillon.kernel.tokens import TokenKind
from carillon.store import tables as t
from tests.feedback.ground import EMAIL_NODE, KEYS, NOON, RULES, SMS_NODE
from tests.web.conftest import Web


def token(kind: TokenKind, enrolment: int, node: int = EMAIL_NODE) -> str:
    return KEYS.make(kind, node, enrolment)


def settle(web: Web) -> None:
    fold(web.ground.store, NOON)
    apply_effects(web.ground.store, NOON, RULES)


def nothing_changed(web: Web) -> bool:
    ground = web.ground
    return ground.rows(sa.select(t.event.c.kind)) == [] and ground.rows(sa.select(t.consent.c.id)) == []


def test_a_click_leads_to_the_link_we_wrote_and_is_counted(web: Web) -> None:
    """302 to the content's link; the click is committed before the reader is sent on."""
    web.ground.contact("ada")
    enrolment = web.ground.sent("ada")
    answer = web.browser.get(f"/c/{token(TokenKind.CLICK, enrolment)}/1")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example/b")
    assert answer.headers["referrer-policy"] == "no-referrer"
    settle(web)
    after = web.ground.response(enrolment)
    assert (after["first_click"], after["clicks"]) == (NOON + 600 * SECOND, 1)


def test_a_pixel_is_an_open(web: Web) -> None:
    """The smallest GIF, never cached, and one human open."""
    web.ground.contact("ada")
    enrolment = web.ground.sent("ada")
    answer = web.browser.get(f"/o/{token(TokenKind.OPEN, enrolment)}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert "no-store" in answer.headers["cache-control"]
    settle(web)
    assert web.ground.response(enrolment)["opens"] == 1


def test_an_sms_link_is_a_click_on_the_sms(web: Web) -> None:
    """`/s/` is the short form of `/c/`, with a kind of token of its own."""
    web.ground.contact("ada", phone_key="+491701")
    enrolment = web.ground.sent("ada", SMS_NODE)
    assert web.browser.get(f"/s/{token(TokenKind.SMS_LINK, enrolment, SMS_NODE)}/0").status_code == 302
    settle(web)
    assert web.ground.response(enrolment)["clicks"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/c/{click}/3",
        "/c/{click}/-1",
        "/c/{click}/1e3",
        "/c/{click}/0?to=https://evil.example",
        "/c/{open}/0",
        "/c/{forged}/0",
        "/o/{forged}",
        "/u/{click}",
        "/p/{forged}",
        "/c/x",
        "/nothing",
        "//evil.example/%2e%2e",
    ],
)
def test_only_our_own_addresses_do_anything(web: Web, path: str) -> None:
    """An unknown number, a token of another kind or a forged one: 404, a friendly page, and nothing has changed.

    A target in the address is not followed: link 0 leads where the content says.
    """
    web.ground.contact("ada")
    enrolment = web.ground.sent("ada")
    click = token(TokenKind.CLICK, enrolment)
    forged = click[:-1] + ("A" if click[-1] != "A" else "B")
    answer = web.browser.get(path.format(click=click, open=token(TokenKind.OPEN, enrolment), forged=forged))
    if "evil.example" in path and answer.status_code == 302:
        assert answer.headers["location"] == "https://shop.example/a"
        return
    assert answer.status_code == 404
    assert "Nothing was changed" in answer.text
    assert nothing_changed(web)


def test_looking_at_the_unsubscribe_page_unsubscribes_nobody(web: Web) -> None:
    """Scanners fetch the address: a GET shows a button (RFC 8058)."""
    web.ground.contact("ada")
    answer = web.browser.get(f"/u/{token(TokenKind.UNSUBSCRIBE, web.ground.sent('ada'))}")
    assert answer.status_code == 200
    assert '<form method="post"' in answer.text
    assert "Acme &lt;Shop&gt;" in answer.text
    assert "<Shop>" not in answer.text
    assert nothing_changed(web)


def test_one_click_unsubscribe(web: Web) -> None:
    """The mail program's POST withdraws the topic of that mail; doing it twice is the same."""
    ada = web.ground.contact("ada")
    address = f"/u/{token(TokenKind.UNSUBSCRIBE, web.ground.sent('ada'))}"
    for _ in range(2):
        answer = web.browser.post(address, data={"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, "You are unsubscribed" in answer.text) == (200, True)
        settle(web)
    consents = web.ground.rows(sa.select(t.consent))
    assert [(c["contact_id"], c["topic"], c["channel"], c["state"]) for c in consents] == [
        (ada, "offers", "email", "no")
    ]


def test_pages_speak_the_contacts_language(web: Web) -> None:
    """A German contact reads German, topic names included."""
    ada = web.ground.contact("ada")
    with web.ground.store.write("core") as connection:
        connection.execute(t.standing.update().where(t.standing.c.contact_id == ada).values(language="de"))
    answer = web.browser.get(f"/u/{token(TokenKind.UNSUBSCRIBE, web.ground.sent('ada'))}")
    assert "„Angebote“ abbestellen?" in answer.text
    assert '<html lang="de">' in answer.text


def test_preferences_are_saved_with_evidence(web: Web) -> None:
    """Yes to mail and no to SMS become two consents; saving the same again writes nothing."""
    ada = web.ground.contact("ada")
    address = f"/p/{token(TokenKind.PREFERENCES, web.ground.sent('ada'))}"
    assert "checked" in web.browser.get(address).text
    for _ in range(2):
        answer = web.browser.post(
            address, data={"offers.email": "yes", "offers.sms": "no", "service.email": "no", "x": "yes", "do": "save"}
        )
        assert "Saved." in answer.text
    rows = web.ground.rows(sa.select(t.consent).order_by(t.consent.c.channel))
    assert [(r["contact_id"], r["topic"], r["channel"], r["state"], r["source"]) for r in rows] == [
        (ada, "offers", "email", "yes", "preferences"),
        (ada, "offers", "sms", "no", "preferences"),
    ]
    assert rows[0]["evidence"].startswith("preferences page, send 1/")


def test_a_yes_on_the_way_of_the_link_is_a_confirmed_one(web: Web) -> None:
    """Where a topic needs a double yes, the link in the mail proves the mailbox and says nothing of the telephone."""
    topic = replace(RULES.topics["offers"], consent={"email": "double", "sms": "double"})
    web.app._pages._rules = lambda: replace(RULES, topics={"offers": topic})
    web.ground.contact("ada")
    address = f"/p/{token(TokenKind.PREFERENCES, web.ground.sent('ada'))}"
    web.browser.post(address, data={"offers.email": "yes", "offers.sms": "yes"})
    rows = web.ground.rows(sa.select(t.consent.c.channel, t.consent.c.state).order_by(t.consent.c.channel))
    assert [tuple(row.values()) for row in rows] == [("email", "confirmed"), ("sms", "yes")]


def test_no_messages_at_all_is_one_button(web: Web) -> None:
    """It says no to every marketing topic on every channel, whatever else stood in the form."""
    web.ground.contact("ada")
    address = f"/p/{token(TokenKind.PREFERENCES, web.ground.sent('ada'))}"
    web.browser.post(address, data={"offers.email": "yes", "do": "none"})
    rows = web.ground.rows(sa.select(t.consent.c.channel, t.consent.c.state).order_by(t.consent.c.channel))
    assert [tuple(row.values()) for row in rows] == [("email", "no"), ("sms", "no")]


def test_it_says_when_it_is_well(web: Web) -> None:
    """`/health` reads the store."""
    assert (web.browser.get("/health").text, web.browser.get("/health").status_code) == ("ok", 200)

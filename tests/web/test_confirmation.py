"""The second yes over a real server: a look at the page changes nothing, the button does, and only while the link may."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import sqlalchemy as sa

from carillon.foresight.explain import explain
from carillon.journey.ground import load_ground
from carillon.kernel.channels import Channel
from carillon.kernel.tokens import TokenKind
from carillon.plan.applied import load_rules
from carillon.sandbox.keys import Keys
from carillon.sandbox.server import make_world, start_sandbox
from carillon.store import tables as t
from carillon.web.app import make_app
from connectors.sandbox.connector import make
from tests.advance.double_opt_in import CONFIRM, asking
from tests.serving import serving
from tests.shop import KEYS, Shop

SIGNED_UP = "2026-11-02 12:10"


@contextmanager
def served(shop: Shop) -> Iterator[httpx.Client]:
    """A browser before the web of a shop that asks twice; ada has signed up and been asked."""
    asking(shop)
    shop.contact("ada", consent=("club/email",))
    shop.run(CONFIRM)
    with browsing(shop) as browser:
        yield browser


@contextmanager
def browsing(shop: Shop) -> Iterator[httpx.Client]:
    """A browser before the web of the shop, over a real server."""
    with shop.store.read() as connection:
        rules = load_rules(connection)
    app = make_app(
        shop.store, KEYS, rules=lambda: rules, data=lambda: shop.loaded.data, write_keys=["wk"], clock=shop.clock
    )
    with serving(app) as url, httpx.Client(trust_env=False, base_url=url, timeout=20) as web:
        yield web


@pytest.fixture
def web(shop: Shop) -> Iterator[httpx.Client]:
    with served(shop) as browser:
        yield browser


def link(shop: Shop, kind: TokenKind = TokenKind.CONFIRM) -> str:
    """The newest mail's link."""
    sent = KEYS.read(shop.mail.letters[-1].cid)
    assert sent is not None
    return f"/y/{KEYS.make(kind, sent.node, sent.enrolment)}"


def said(shop: Shop) -> list[tuple[str, str]]:
    """(state, source) of everything that was said, in its order."""
    with shop.store.read() as connection:
        c = t.consent.c
        return [(row.state, row.source) for row in connection.execute(sa.select(c.state, c.source).order_by(c.id))]


def test_a_look_changes_nothing_and_the_button_is_the_second_yes(any_shop: Shop) -> None:
    """A scanner's GET and HEAD are no yes; after the POST the campaign for members takes them in, and the link says so."""
    shop = any_shop
    with served(shop) as web:
        first = web.get(link(shop))
        assert (first.status_code, "Yes, I want it" in first.text, "ada@example.com" in first.text) == (200, True, True)
        assert web.head(link(shop)).status_code == 200
        shop.run("hello")
        assert (said(shop), shop.inbox) == ([("yes", "test")], ["ada"])
        done = web.post(link(shop))
        again = web.post(link(shop))
        assert [("you are in" in page.text, "<button" in page.text) for page in (done, again)] == [(True, False)] * 2
        assert said(shop) == [("yes", "test"), ("confirmed", "confirmation")]
        shop.run("hello", "2026-11-02 12:30")
        assert [letter.text for letter in shop.mail.letters] == ["Is it you?", "hello"]


def test_the_evidence_names_the_send_the_address_and_the_words(any_shop: Shop) -> None:
    """What was said is known by the mail that asked: also after its words were changed."""
    shop = any_shop
    with served(shop) as web:
        sent = KEYS.read(shop.mail.letters[-1].cid)
        with shop.store.read() as connection:
            words = connection.scalar(sa.select(t.content.c.hash).order_by(t.content.c.id).limit(1))
        shop.at("2026-11-02 12:20")
        shop.write("messages/please_confirm.yaml", "subject: Was it you?\ntexts: {headline: One click more}\n")
        assert shop.apply() == ["texts", "unchanged"]
        web.post(link(shop))
        with shop.store.read() as connection:
            row = connection.execute(sa.select(t.consent).where(t.consent.c.state == "confirmed")).one()
        assert sent is not None
        assert row.at == shop.clock.now()
        assert row.evidence == (
            f"link in send {sent.node}/{sent.enrolment} to ada@example.com, words {words}, button pressed from 127.0.0.1"
        )


LAPSES: dict[str, Callable[[Shop], None]] = {
    "after seven days": lambda shop: shop.at("2026-11-09 12:10"),
    "with a no": lambda shop: shop.consent("ada", "club/email", "no"),
    "with another address": lambda shop: shop.change("ada", email="ada@elsewhere.example"),
}


@pytest.mark.parametrize("how", LAPSES)
def test_a_link_that_has_lapsed_confirms_nothing(shop: Shop, web: httpx.Client, how: str) -> None:
    """It says so, in the reader's language, and what to do."""
    shop.at("2026-11-02 12:11")
    LAPSES[how](shop)
    shop.change("ada", language="de")
    page = web.post(link(shop))
    assert ("Dieser Link gilt nicht mehr" in page.text, "<button" in page.text) == (True, False)
    assert "confirmed" not in [state for state, _ in said(shop)]


def test_a_minute_before_seven_days_are_over_the_link_still_holds(shop: Shop, web: httpx.Client) -> None:
    shop.at("2026-11-09 12:09")
    assert "you are in" in web.post(link(shop)).text


def test_other_links_confirm_nothing(shop: Shop, web: httpx.Client) -> None:
    """Neither a click's token, nor a forged one, nor the confirming token of a campaign's own send."""
    shop.contact("bob", consent=("offers/email",))
    shop.campaign("sale", "audience: everyone\nentry: {at: 2026-11-02 12:20}\njourney: [{email: sale}]\n")
    shop.apply("sale")
    shop.run("sale", "2026-11-02 12:20")
    links = [link(shop), link(shop, TokenKind.CLICK), f"{link(shop)[:-1]}x"]
    assert [web.request(method, url).status_code for url in links for method in ("GET", "POST")] == [404] * 6
    assert "confirmed" not in [state for state, _ in said(shop)]


def test_a_yes_saved_on_the_preference_page_of_the_same_mailbox_is_the_second_one(
    shop: Shop, web: httpx.Client
) -> None:
    """Only that mailbox has its link; to open it is not enough."""
    url = link(shop, TokenKind.PREFERENCES).replace("/y/", "/p/")
    assert web.get(url).status_code == 200
    assert said(shop) == [("yes", "test")]
    web.post(url, data={"club.email": "yes"})
    web.post(url, data={"club.email": "yes"})
    assert said(shop) == [("yes", "test"), ("confirmed", "preferences")]


def test_leaving_by_the_mail_that_asks_leaves_the_topic(shop: Shop, web: httpx.Client) -> None:
    """Its unsubscribe link, where somebody puts one in, is a no to the topic, and the page calls it by its name."""
    url = link(shop, TokenKind.UNSUBSCRIBE).replace("/y/", "/u/")
    assert "Unsubscribe from “Club”?" in web.get(url).text
    web.post(url)
    shop.run(CONFIRM, "2026-11-02 12:30")
    with shop.store.read() as connection:
        rows = connection.execute(sa.select(t.consent.c.topic, t.consent.c.state).order_by(t.consent.c.id)).all()
    assert [tuple(row) for row in rows] == [("club", "yes"), ("club", "no")]


def test_a_form_signs_up_through_the_api(shop: Shop, web: httpx.Client) -> None:
    """The contact and the yes in one batch; what names no contact, topic or channel of ours is refused by its place."""
    yes = {"type": "consent", "userId": "bob", "topic": "club", "channel": "email", "evidence": "form at /club"}
    items = [
        yes,
        {"type": "identify", "userId": "bob", "traits": {"email": "bob@example.com", "country": "GB"}},
        {**yes, "userId": "eve"},
        {**yes, "topic": "clubs"},
        {**yes, "topic": "confirm-club"},
        {**yes, "channel": "sms"},
        {**yes, "evidence": ""},
        {**yes, "timestamp": "2026-11-04T12:00:00Z"},
    ]
    answer = web.post("/v1/batch", json={"batch": items}, auth=("wk", ""))
    assert answer.status_code == 400
    assert [(r["index"], r["reason"]) for r in answer.json()["refused"]] == [
        (2, "no contact 'eve' is known: identify it first"),
        (3, "no topic 'clubs'; did you mean \"club\"?"),
        (4, "no topic 'confirm-club'; there is club, news, offers, service"),
        (5, "'sms' is no channel of club: email"),
        (6, "evidence: String should have at least 1 character"),
        (7, "its timestamp lies more than a day ahead"),
    ]
    shop.run(CONFIRM, "2026-11-02 12:20")
    assert shop.inbox == ["ada", "bob"]
    again = web.post("/v1/consent", json={**yes, "state": "no", "evidence": "call of 3 May"}, auth=("wk", ""))
    assert again.json() == {"stored": 1, "refused": []}
    assert said(shop) == [("yes", "test"), ("yes", "api"), ("no", "api")]


def test_from_the_form_to_the_first_letter(shop: Shop) -> None:
    """Signed up by the API, asked through SendGrid's double, the link read in its inbox, the button pressed: a member."""
    shop.write("hello/messages/hello.de.yaml", "subject: Willkommen\ntexts: {headline: Hallo}\n")
    asking(shop)
    with start_sandbox(make_world(keys=Keys(b"confirm"))) as sandbox, browsing(shop) as web:
        inbox = httpx.Client(base_url=sandbox.url, trust_env=False)

        def run(campaign: str, at: str) -> None:
            shop.run(campaign, at, connectors=lambda: {"sandbox.email": make(sandbox.settings, Channel.EMAIL)})

        form = [
            {"type": "identify", "userId": "uwe", "traits": {"email": "uwe@example.com", "country": "DE"}},
            {"type": "consent", "userId": "uwe", "topic": "club", "channel": "email", "evidence": "form at /club"},
        ]
        assert web.post("/v1/batch", json={"batch": form}, auth=("wk", "")).json() == {"stored": 2, "refused": []}
        run("hello", "2026-11-02 12:11")
        run(CONFIRM, "2026-11-02 12:11")
        assert "Sind Sie es?" in inbox.get("/").text
        (link,) = re.findall(r"https://t.acme.example(/y/[\w-]{28})", inbox.get("/messages/1/html").text)
        page = web.get(link)
        assert "Möchten Sie „Club“ per E-Mail?" in page.text
        (action,) = re.findall(r'<form method="post" action="([^"]+)"', page.text)
        shop.at("2026-11-02 12:13")
        assert "Sie sind dabei" in web.post(action).text
        run("hello", "2026-11-02 12:14")
        assert "Willkommen" in inbox.get("/").text
        with shop.store.read() as connection:
            (way,) = explain(connection, load_ground(shop.store, CONFIRM, shop.clock.now()), "uwe").ways
        assert [(h.step, h.what) for h in way.happenings if "attempt" not in h.what] == [
            ("email.please_confirm", "email accepted"), ("goal", "contact.subscribed counts"),
        ]  # fmt: skip

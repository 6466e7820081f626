"""The second yes over a real server: a look at the page changes nothing, the button does, and only while the link may."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import sqlalchemy as sa
import uvicorn

from carillon.kernel.tokens import TokenKind
from carillon.plan.applied import load_rules
from carillon.store import tables as t
from carillon.web.app import make_app
from tests.advance.double_opt_in import CONFIRM, asking
from tests.shop import KEYS, Shop

SIGNED_UP = "2026-11-02 12:10"


@pytest.fixture
def web(any_shop: Shop) -> Iterator[httpx.Client]:
    """A browser before the web of a shop that asks twice; ada has signed up and been asked."""
    shop = asking(any_shop)
    shop.contact("ada", consent=("club/email",))
    shop.run(CONFIRM)
    with shop.store.read() as connection:
        rules = load_rules(connection)
    app = make_app(shop.store, KEYS, rules=lambda: rules, data=lambda: shop.loaded.data, clock=shop.clock)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as browser:
        yield browser
    server.should_exit = True
    thread.join()


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


def test_a_look_changes_nothing_and_the_button_is_the_second_yes(any_shop: Shop, web: httpx.Client) -> None:
    """A scanner's GET and HEAD are no yes; after the POST the campaign for members takes them in, and the link says so."""
    shop = any_shop
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


def test_the_evidence_names_the_send_the_address_and_the_words(any_shop: Shop, web: httpx.Client) -> None:
    """What was said is known by the mail that asked: also after its words were changed."""
    shop = any_shop
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
def test_a_link_that_has_lapsed_confirms_nothing(any_shop: Shop, web: httpx.Client, how: str) -> None:
    """It says so, in the reader's language, and what to do."""
    shop = any_shop
    shop.at("2026-11-02 12:11")
    LAPSES[how](shop)
    shop.change("ada", language="de")
    page = web.post(link(shop))
    assert ("Dieser Link gilt nicht mehr" in page.text, "<button" in page.text) == (True, False)
    assert "confirmed" not in [state for state, _ in said(shop)]


def test_a_minute_before_seven_days_are_over_the_link_still_holds(any_shop: Shop, web: httpx.Client) -> None:
    any_shop.at("2026-11-09 12:09")
    assert "you are in" in web.post(link(any_shop)).text


def test_other_links_confirm_nothing(any_shop: Shop, web: httpx.Client) -> None:
    """Neither a click's token, nor a forged one, nor the confirming token of a campaign's own send."""
    shop = any_shop
    shop.contact("bob", consent=("offers/email",))
    shop.campaign("sale", "audience: everyone\nentry: {at: 2026-11-02 12:20}\njourney: [{email: sale}]\n")
    shop.apply("sale")
    shop.run("sale", "2026-11-02 12:20")
    links = [link(shop), link(shop, TokenKind.CLICK), f"{link(shop)[:-1]}x"]
    assert [web.request(method, url).status_code for url in links for method in ("GET", "POST")] == [404] * 6
    assert "confirmed" not in [state for state, _ in said(shop)]


def test_leaving_by_the_mail_that_asks_leaves_the_topic(any_shop: Shop, web: httpx.Client) -> None:
    """Its unsubscribe link, where somebody puts one in, is a no to the topic, and the page calls it by its name."""
    shop = any_shop
    url = link(shop, TokenKind.UNSUBSCRIBE).replace("/y/", "/u/")
    assert "Unsubscribe from “Club”?" in web.get(url).text
    web.post(url)
    shop.run(CONFIRM, "2026-11-02 12:30")
    with shop.store.read() as connection:
        rows = connection.execute(sa.select(t.consent.c.topic, t.consent.c.state).order_by(t.consent.c.id)).all()
    assert [tuple(row) for row in rows] == [("club", "yes"), ("club", "no")]

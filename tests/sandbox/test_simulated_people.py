"""What simulated people do: signed, in order, the same by the same seed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson
import pytest
from receiver import Receiver, receiving

from carillon.delivery.protocol import Accepted, People, Sender, SharedEmail, SharedSms
from carillon.feedback.model import FeedbackKind
from carillon.kernel.channels import Channel
from carillon.kernel.clock import to_micros
from carillon.sandbox.behaviour import Behaviour, EmailRates, Override, SmsRates, load_behaviour
from carillon.sandbox.keys import Keys
from carillon.sandbox.server import Running, make_world, start_sandbox
from connectors.sandbox.connector import make
from connectors.sendgrid import webhook as sendgrid
from connectors.twilio import webhook as twilio

START = datetime(2026, 12, 1, 9, tzinfo=UTC)
WEEK = START + timedelta(days=8)
PUBLIC = "https://t.acme.example"
N = 400

LIVELY = Behaviour(
    seed=7,
    email=EmailRates(hard_bounce=0.05, soft_bounce=0.04, block=0.03, open=0.5, machine_open=0.3, click=0.2,
                     machine_click=0.05, unsubscribe=0.05, complain=0.02, order=0.1),
    sms=SmsRates(failed=0.1, click=0.2, stop=0.05, order=0.1),
)  # fmt: skip


def mail(category: str = "plain") -> SharedEmail:
    html = f'<a href="{PUBLIC}/c/[t]/1?x=1&amp;y=2">go</a><a href="{PUBLIC}/u/[t]">leave</a><img src="{PUBLIC}/o/[t]">'
    one_click = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return SharedEmail(Sender("hello@acme.example"), "Hello", html, "Hello", one_click, ("spring", category))


def readers(first: int = 0, n: int = N) -> People:
    who = range(first, first + n)
    return People(
        [f"p{i}@example.com" for i in who],
        [f"m{i}" for i in who],
        {"[t]": [f"tok{i}" for i in who]},
        {"List-Unsubscribe": [f"<{PUBLIC}/u/tok{i}>" for i in who]},
    )


def phones(n: int = N) -> People:
    return People(
        [f"+49151{i:08}" for i in range(n)], [f"s{i}" for i in range(n)], {"[t]": [f"t{i}" for i in range(n)]}
    )


SMS = SharedSms(
    Sender(messaging_service="MG" + "0" * 32), f"Ends tonight {PUBLIC}/s/[t]", f"{PUBLIC}/webhooks/twilio/status"
)


@contextmanager
def town(behaviour: Behaviour = LIVELY) -> Iterator[tuple[Running, Receiver]]:
    """A virtual sandbox whose people report to a receiver."""
    with receiving() as web:
        world = make_world(keys=Keys(b"town"), behaviour=behaviour, webhooks=web.url, starts=START)
        with start_sandbox(world) as running:
            yield running, web


def hand_over(running: Running, channel: Channel, message: SharedEmail | SharedSms, people: People) -> None:
    async def go() -> None:
        connector = make(running.settings, channel)
        outcomes = await connector.hand_over(connector.build(message, people), range(len(people)))
        assert {type(outcome) for outcome in outcomes} == {Accepted}
        await connector.close()

    asyncio.run(go())


def events_of(web: Receiver) -> list[dict[str, Any]]:
    return [event for call in web.at("/webhooks/sendgrid") for event in orjson.loads(call.body)]


def test_a_mail_is_bounced_or_delivered_once_and_everything_is_signed_and_read() -> None:
    """Each post passes our own verification; counts lie where the rates put them, exactly for this seed."""
    with town() as (running, web):
        hand_over(running, Channel.EMAIL, mail(), readers())
        told = running.advance(WEEK)
        posts = web.at("/webhooks/sendgrid")
        assert all(sendgrid.verify(call.body, call.headers, running.keys.public_key) for call in posts)
        found = [report for call in posts for report in sendgrid.parse(call.body, to_micros(WEEK))]
        kinds = Counter(report.kind for report in found)
        assert told["events"] == len(found)
        assert kinds[FeedbackKind.DELIVERED] + kinds[FeedbackKind.BOUNCED] == N
        assert Counter(report.bounce for report in found if report.bounce) == {"hard": 18, "soft": 18, "block": 14}
        assert kinds[FeedbackKind.CLICKED] == 90
        assert {report.cid for report in found} <= {f"m{i}" for i in range(N)}
        assert all(report.url.startswith(f"{PUBLIC}/c/tok") and "y=2" in report.url for report in found if report.url)


def test_events_come_in_the_order_of_their_instants_and_after_the_mail() -> None:
    """Across posts; who clicks has opened before."""
    with town() as (running, web):
        hand_over(running, Channel.EMAIL, mail(), readers())
        running.advance(WEEK)
        events = events_of(web)
        assert all(a["timestamp"] <= b["timestamp"] for a, b in pairwise(events))
        assert events[0]["timestamp"] > START.timestamp()
        opened = {e["cid"]: e["timestamp"] for e in events if e["event"] == "open" and not e["sg_machine_open"]}
        clicks = [e for e in events if e["event"] == "click" and "Barracuda" not in e["useragent"]]
        assert len(clicks) > 40
        assert all(opened[click["cid"]] < click["timestamp"] for click in clicks)


def test_the_same_run_twice_posts_the_same_bytes_in_any_order_of_arrival() -> None:
    """Two requests of one instant, handed over in the other order; and advanced in other steps."""

    def run(order: tuple[int, int], steps: int) -> list[bytes]:
        with town() as (running, web):
            for first in order:
                hand_over(running, Channel.EMAIL, mail(), readers(first, 200))
            for step in range(1, steps + 1):
                running.advance(START + (WEEK - START) * step / steps)
            return [orjson.dumps(event) for event in events_of(web)]

    once = run((0, 200), 1)
    assert run((200, 0), 1) == once
    assert run((0, 200), 3) == once


def test_another_seed_is_another_town() -> None:
    """And nothing else changes it."""
    with town(Behaviour(seed=8, email=LIVELY.email)) as (running, web):
        hand_over(running, Channel.EMAIL, mail(), readers())
        running.advance(WEEK)
        assert Counter(event["event"] for event in events_of(web))["click"] == 81


def test_variants_differ_by_the_rates_of_their_category() -> None:
    """An override speaks of a whole category, and only of the rates that it names."""
    never = Override(category="plain", email={"click": 0.0, "machine_click": 0.0})
    with town(Behaviour(seed=7, email=LIVELY.email, overrides=(never,))) as (running, web):
        hand_over(running, Channel.EMAIL, mail("plain"), readers(0, 200))
        hand_over(running, Channel.EMAIL, mail("plainer"), readers(200, 200))
        running.advance(WEEK)
        clicks = Counter(e["category"][1] for e in events_of(web) if e["event"] == "click")
        assert (clicks["plain"], clicks["plainer"]) == (0, 42)


def test_who_leaves_posts_one_click_and_orders_come_in_segments_shape() -> None:
    """RFC 8058 to the path of the header, never to its host; the order names contact, value and instant."""
    known = Behaviour(seed=7, email=LIVELY.email, people={f"p{i}@example.com": f"shop{i}" for i in range(N)})
    with town(known) as (running, web):
        hand_over(running, Channel.EMAIL, mail(), readers())
        told = running.advance(WEEK)
        leaving, orders = web.at("/u/"), web.at("/v1/track")
        assert (len(leaving), len(orders)) == (15, told["orders"])
        assert {(call.method, call.body) for call in leaving} == {("POST", b"List-Unsubscribe=One-Click")}
        assert not [event for event in events_of(web) if event["event"] == "unsubscribe"]
        order = orjson.loads(orders[0].body)
        assert (order["type"], order["event"]) == ("track", "order_completed")
        assert order["userId"] == order["context"]["traits"]["email"].replace("p", "shop").partition("@")[0]
        assert order["properties"]["total"] > 0
        assert START < datetime.fromisoformat(order["timestamp"]) < WEEK
        assert orders[0].headers["Authorization"].startswith("Basic ")


def test_clicks_and_opens_by_link_fetch_our_own_links() -> None:
    """Pixel and tracked link are fetched with the person's agent and the virtual instant; SendGrid tells nothing."""
    with town(Behaviour(seed=7, email=LIVELY.email, opens_by="link", clicks_by="link")) as (running, web):
        hand_over(running, Channel.EMAIL, mail(), readers())
        running.advance(WEEK)
        assert not {"open", "click"} & {event["event"] for event in events_of(web)}
        clicks = web.at("/c/")
        assert (len(clicks), len(web.at("/o/tok")) > 200) == (90, True)
        assert {(call.method, call.path.endswith("/1?x=1&y=2")) for call in clicks} == {("GET", True)}
        assert all(START < datetime.fromisoformat(call.headers["X-Sandbox-At"]) < WEEK for call in clicks)


def test_an_sms_is_reported_by_signed_callbacks_and_stop_by_the_inbound_webhook() -> None:
    """Signed for the public address that the message named, though posted here."""
    with town() as (running, web):
        hand_over(running, Channel.SMS, SMS, phones())
        told = running.advance(WEEK)
        calls = web.at("/webhooks/twilio")
        assert told["callbacks"] == len(calls)
        assert all(twilio.verify(c.body, c.headers, running.keys.auth_token, PUBLIC + c.path) for c in calls)
        found = [r for c in calls for r in twilio.parse(c.body, urlsplit(c.path).query, to_micros(WEEK))]
        kinds = Counter(report.kind for report in found)
        assert kinds == {FeedbackKind.DELIVERED: 355, FeedbackKind.FAILED: 45, FeedbackKind.UNSUBSCRIBED: 15}
        assert {r.cid for r in found if r.kind is not FeedbackKind.UNSUBSCRIBED} == {f"s{i}" for i in range(N)}
        stops = [dict(parse_qsl(c.body.decode())) for c in calls if b"Body=STOP" in c.body]
        assert {stop["From"][:6] for stop in stops} == {"+49151"}
        assert len(web.at("/webhooks/twilio/inbound")) == len(stops) == 15
        assert len(web.at("/s/t")) == 58
        opened = httpx.get(f"{running.url}/?open=1", trust_env=False).text
        assert '<p class="bubble">Ends tonight https://t.acme.example/s/t0</p>' in opened
        assert '<span class="tone good">delivered</span>' in opened


def test_a_web_that_refuses_is_named_and_nothing_is_lost() -> None:
    """The clock stays, and the next advance tells everything."""
    with town() as (running, web):
        hand_over(running, Channel.EMAIL, mail(), readers(0, 20))
        web.status = 500
        with pytest.raises(RuntimeError, match=r"/webhooks/sendgrid answered 500"):
            running.advance(WEEK)
        web.status = 204
        refused = len(web.calls)
        assert running.advance(WEEK)["events"] == sum(
            len(orjson.loads(c.body)) for c in web.calls[refused:] if "sendgrid" in c.path
        )


def test_the_clock_goes_forward_only() -> None:
    """And a message is of the instant at which the clock stands."""
    with town() as (running, _):
        running.move_clock(WEEK)
        with pytest.raises(RuntimeError, match="does not go back"):
            running.advance(START)
        with pytest.raises(RuntimeError, match="does not go back"):
            running.move_clock(START)
        with pytest.raises(RuntimeError, match="not an instant"):
            running._post("advance", {"to": "tomorrow"})


def test_a_behaviour_file_is_read_whole_and_a_wrong_word_is_named(tmp_path: Path) -> None:
    """The place in the file and the word."""
    path = tmp_path / "people.yaml"
    path.write_text("seed: 3\nemail: {click: 0.1}\noverrides: [{category: x, email: {open: 1.0}}]\nopens_by: link\n")
    assert load_behaviour(path) == Behaviour(
        seed=3, email=EmailRates(click=0.1), overrides=(Override(category="x", email={"open": 1.0}),), opens_by="link"
    )
    for wrong, said in (
        ("email: {clik: 1}", "clik"),
        ("overrides: [{sms: {open: 1}}]", "unknown rate 'open'"),
        ("a: [", "line 1"),
    ):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=said):
            load_behaviour(path)


def test_in_real_time_people_react_by_themselves_and_what_is_a_day_old_is_dropped() -> None:
    """Two mails of the past: one of an hour ago is told within seconds, one of last year never while the web refuses."""
    calm = Behaviour(email=EmailRates(0, 0, 0, open=0, machine_open=0, click=0, machine_click=0, unsubscribe=0,
                                      complain=0, order=0))  # fmt: skip
    with receiving() as web:
        web.status = 500
        with start_sandbox(make_world(keys=Keys(b"live"), behaviour=calm, webhooks=web.url)) as running:
            for cid, ago in (("old", timedelta(days=300)), ("new", timedelta(hours=1))):
                at = (datetime.now(UTC) - ago).isoformat()
                one = {"personalizations": [{"to": [{"email": "a@b.example"}], "custom_args": {"cid": cid}}],
                       "from": {"email": "c@d.example"}, "subject": "s", "content": [{"type": "text/plain", "value": "t"}]}  # fmt: skip
                auth = {"Authorization": f"Bearer {running.keys.api_key}", "X-Sandbox-Now": at}
                assert (
                    httpx.post(f"{running.url}/v3/mail/send", json=one, headers=auth, trust_env=False).status_code
                    == 202
                )
            _until(lambda: len(web.calls) >= 3)
            web.calls.clear()
            web.status = 204
            _until(lambda: bool(web.calls))
            assert [event["cid"] for event in events_of(web)] == ["new"]


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")

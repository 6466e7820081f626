"""The events API in Segment's shapes, over a real server."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from carillon.feedback.fold import fold
from carillon.kernel.clock import SECOND
from carillon.store import tables as t
from tests.feedback.ground import CAMPAIGN, NOON
from tests.web.conftest import Web

AT = "2026-09-21T14:13:00.000Z"


def post(web: Web, path: str, body: Any, key: str = "wk") -> httpx.Response:
    return web.browser.post(f"/v1/{path}", json=body, auth=(key, ""))


def order(**fields: Any) -> dict[str, Any]:
    return {
        "userId": "ada", "event": "Order Completed", "timestamp": AT, "messageId": "m1",
        "properties": {"order_id": 7, "total": 19.9, "coupon": "unknown to us"}, **fields,
    }  # fmt: skip


def events(web: Web) -> list[dict[str, Any]]:
    return web.ground.rows(sa.select(t.event).order_by(t.event.c.occurred_at, t.event.c.hash64))


def test_a_tracked_order_is_typed_stored_once_and_signalled(web: Web) -> None:
    """`Order Completed` is our order_completed, money is cents, and a repetition is the same event."""
    ada = web.ground.contact("ada")
    assert post(web, "track", order()).json() == {"stored": 1, "refused": []}
    assert post(web, "track", order()).json() == {"stored": 1, "refused": []}
    (event,) = events(web)
    assert (event["kind"], event["contact_id"], event["value_cents"]) == ("order_completed", ada, 1990)
    assert event["props"] == {"order_id": "7", "total": 1990}
    fold(web.ground.store, NOON)
    assert web.ground.signals("event") == [("event", "order_completed", "")]


def test_of_a_batch_all_that_can_be_stored_is_stored(web: Web) -> None:
    """400 names each other item and its reason."""
    web.ground.contact("ada")
    items = [
        {"type": "track", **order()},
        {"type": "track", **order(event="Order Complete")},
        {"type": "track", **order(userId=None)},
        {"type": "track", **order(timestamp="yesterday")},
        {"type": "page", "userId": "ada"},
        {"type": "track", **order(messageId="m2", properties={"total": "much"})},
        {"type": "track", **order(messageId="m3", timestamp="2036-01-01T00:00:00Z")},
        7,
        {"type": "identify", "userId": "bob", "traits": {"email": "nobody"}},
    ]
    answer = post(web, "batch", {"batch": items})
    assert answer.status_code == 400
    assert answer.json()["stored"] == 1
    refused = {one["index"]: one["reason"] for one in answer.json()["refused"]}
    assert sorted(refused) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert 'did you mean "order_completed"?' in refused[1]
    assert "needs userId or anonymousId" in refused[2]
    assert refused[5].startswith("total: no amount of money")
    assert "ahead" in refused[6]
    assert refused[8].startswith("email: ")
    assert len(events(web)) == 1


def test_identify_makes_a_contact_and_gives_them_what_waited(web: Web) -> None:
    """Orders of an unknown id and visits of an anonymous one become the contact's."""
    assert post(web, "track", order()).status_code == 200
    assert post(web, "track", order(userId=None, anonymousId="v1", messageId="m2")).status_code == 200
    assert [event["contact_id"] for event in events(web)] == [None, None]
    traits = {"email": " Ada@Example.COM ", "firstName": "Ada", "address": {"country": "DE"}, "tier": "gold", "x": 1}
    answer = post(web, "identify", {"userId": "ada", "anonymousId": "v1", "traits": traits})
    assert answer.json() == {"stored": 1, "refused": []}
    (contact,) = web.ground.rows(sa.select(t.contact))
    assert (contact["shop_id"], contact["email_key"], contact["country"]) == ("ada", "ada@example.com", "DE")
    assert contact["attrs"] == {"first_name": "Ada", "tier": "gold"}
    fold(web.ground.store, NOON)
    (stat,) = web.ground.rows(sa.select(t.contact_stat))
    assert (stat["contact_id"], stat["n"], stat["value_cents"]) == (contact["id"], 2, 3980)


@pytest.mark.parametrize("auth", [None, ("", ""), ("wrong", ""), ("", "wk")])
def test_without_a_write_key_nothing_is_taken(web: Web, auth: tuple[str, str] | None) -> None:
    """401, and how to ask."""
    answer = web.browser.post("/v1/track", json=order(), auth=auth)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert events(web) == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(web: Web, body: bytes) -> None:
    """400 in a sentence."""
    for path in ("track", "identify", "batch", "enter"):
        answer = web.browser.post(f"/v1/{path}", content=body, auth=("wk", ""))
        assert answer.status_code == 400
    assert events(web) == []


def test_a_batch_is_no_list(web: Web) -> None:
    """The envelope itself is checked, and a flood is refused unread."""
    assert post(web, "batch", {"batch": 7}).status_code == 400
    huge = web.browser.post("/v1/batch", content=b"x" * (10 * 1024 * 1024 + 1), auth=("wk", ""))
    assert huge.status_code == 413


def test_enter_asks_for_an_entry_by_the_callers_key(web: Web) -> None:
    """The fold leaves a signal that names campaign, contact and key."""
    ada = web.ground.contact("ada")
    with web.ground.store.write("core") as connection:
        connection.execute(t.version.update().values(plan_json='{"topic": "offers", "entries": [{"kind": "api"}]}'))
    answer = post(web, "enter", {"campaign": "spring_sale", "userId": "ada", "key": "order-7", "properties": {"x": 1}})
    assert answer.json() == {"stored": 1, "refused": []}
    fold(web.ground.store, NOON)
    (signal,) = web.ground.rows(sa.select(t.signal))
    assert (signal["kind"], signal["campaign_id"], signal["contact_id"], signal["thing"]) == (
        "enter", CAMPAIGN, ada, "order-7"
    )  # fmt: skip
    assert signal["event_at"] == NOON + 600 * SECOND


@pytest.mark.parametrize(
    "body, reason",
    [
        ({"campaign": "autumn", "userId": "ada", "key": "k"}, "no campaign 'autumn'"),
        ({"campaign": "spring_sale", "userId": "ada", "key": "k"}, "has no entry {api: true}"),
        ({"campaign": "spring_sale", "userId": "ada"}, "key: Field required"),
        ({"campaign": "spring_sale", "userId": "ada", "key": "k", "when": "now"}, "when: Extra inputs"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_with_its_reason(web: Web, body: dict[str, str], reason: str) -> None:
    """Nothing is stored for an unknown campaign, contact or word."""
    web.ground.contact("ada")
    answer = post(web, "enter", body)
    assert answer.status_code == 400
    assert reason in answer.json()["refused"][0]["reason"]
    assert events(web) == []


def test_money_in_a_currency_without_a_rate_is_refused_by_its_place(web: Web) -> None:
    """Our own is stored as ours; what reports could not count is not stored."""
    web.ground.contact("ada")
    items = [
        {"type": "track", **order(properties={"total": 19.9, "currency": "eur"})},
        {"type": "track", **order(messageId="m2", properties={"total": 19.9, "currency": "CHF"})},
    ]
    answer = post(web, "batch", {"batch": items}).json()
    assert (answer["stored"], [r["index"] for r in answer["refused"]]) == (1, [1])
    assert answer["refused"][0]["reason"].startswith("currency: no rate for 'CHF'")
    assert [event["currency"] for event in events(web)] == [None]

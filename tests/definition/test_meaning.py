"""What the words mean: typed values, default rules, ids of steps."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from carillon.definition import model
from carillon.definition.conditions import (
    Ago,
    All,
    AnyOf,
    Compare,
    Condition,
    ContactIs,
    FieldTest,
    HasEvent,
    InSegment,
    Not,
    Responded,
    Same,
    ThingsTest,
    TriggerIs,
)
from carillon.definition.entries import WEEKDAYS, At, ByApi, Entry, Every, OnEvent
from carillon.definition.model import Arm, Send, SendLeader, Split, Wait, WaitDays, WaitUntil, WaitUntilDay, walk
from carillon.kernel.clock import to_micros
from carillon.kernel.durations import Span
from tests.definition.conftest import Shop

DAY, HOUR = 86_400, 3_600


def condition(shop: Shop, text: str) -> Condition:
    loaded = shop.put({"segments/asked.yaml": f"who: {text}\n"}).load()
    assert loaded.problems == []
    return loaded.segments["asked"].who


CONDITIONS = {
    "equality": ("{contact: {country: NO}}", ContactIs((FieldTest("country", "country", "is", "NO"),))),
    "one of": ("{contact: {tier: [gold, basic]}}", ContactIs((FieldTest("tier", "one_of", "in", ("gold", "basic")),))),
    "numbers": (
        "{contact: {age: {over: 17, at_most: 64.5}}}",
        ContactIs((FieldTest("age", "number", "over", 17), FieldTest("age", "number", "at_most", 64.5))),
    ),
    "a flag": ("{contact: {vip: yes}}", ContactIs((FieldTest("vip", "flag", "is", True),))),
    "a date": (
        "{contact: {birthday: {anniversary: 7d}}}",
        ContactIs((FieldTest("birthday", "date", "anniversary", Span(seconds=7 * DAY)),)),
    ),
    "an instant on the workspace's clock": (
        "{contact: {created_at: {after: 2026-07-01 00:00, before: 120d ago}}}",
        ContactIs(
            (
                FieldTest("created_at", "instant", "after", to_micros(datetime(2026, 6, 30, 22, tzinfo=UTC))),
                FieldTest("created_at", "instant", "before", Ago(Span(seconds=120 * DAY))),
            )
        ),
    ),
    "money in cents": (
        "{event: order_completed, where: {total: {between: [10, 19.90]}}}",
        HasEvent("order_completed", where=(FieldTest("total", "money", "between", (1_000, 1_990)),)),
    ),
    "a list of things": (
        "{event: order_completed, where: {products: {category: shoes, price: {over: 5}}}}",
        HasEvent(
            "order_completed",
            where=(
                ThingsTest(
                    "products", (FieldTest("category", "word", "is", "shoes"), FieldTest("price", "money", "over", 500))
                ),
            ),
        ),
    ),
    "never": (
        "{event: order_completed, in_last: 6mo, count: 0}",
        HasEvent("order_completed", within=Span(months=6), count=Compare("is", 0)),
    ),
    "a sum": (
        "{event: order_completed, sum: {of: total, at_least: 99.5}}",
        HasEvent("order_completed", sum_of="total", sum=Compare("at_least", 9_950)),
    ),
    "clicked anywhere": (
        "{clicked: {channel: email, in_last: 120d, count: {at_least: 10}}}",
        Responded("clicked", "channel", "email", Span(seconds=120 * DAY), Compare("at_least", 10)),
    ),
    "any, not and lists": (
        "[{any: [{segment: buyers}, {not: {segment: buyers}}]}]",
        All((AnyOf((InSegment("buyers"), Not(InSegment("buyers")))),)),
    ),
}


@pytest.mark.parametrize(("text", "meant"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_is_typed_by_the_declared_fields(shop: Shop, text: str, meant: Condition) -> None:
    """The field decides what a text means."""
    assert condition(shop, text) == meant


ENTRIES: dict[str, tuple[str, Entry]] = {
    "at": (
        "{at: 2026-12-01 09:00, timezone: contact, if_late: skip after 3h}",
        At(datetime.fromisoformat("2026-12-01 09:00"), "contact", Span(seconds=3 * HOUR), "never"),
    ),
    "every weekday written": (
        "{every: [friday, monday], at: 10:00}",
        Every(("monday", "friday"), time(10), "workspace", Span(seconds=2 * HOUR), "always"),
    ),
    "every day": (
        "{every: day, at: 7:30}",
        Every(WEEKDAYS, time(7, 30), "workspace", Span(seconds=2 * HOUR), "always"),
    ),
    "every month, again later": (
        "{every: month, at: 10:00, again: after 1y}",
        Every("month", time(10), "workspace", Span(seconds=2 * HOUR), Span(months=12)),
    ),
    "event": ("{event: cart_updated}", OnEvent("cart_updated", (), None, Span(seconds=DAY), "never")),
    "event once a thing": (
        "{event: cart_updated, once_per: cart_id, where: {total: {over: 20}}}",
        OnEvent(
            "cart_updated", (FieldTest("total", "money", "over", 2_000),), "cart_id", Span(seconds=DAY), "once_a_thing"
        ),
    ),
    "event once a thing, the person later": (
        "{event: cart_updated, once_per: cart_id, again: after 3d}",
        OnEvent("cart_updated", (), "cart_id", Span(seconds=DAY), Span(seconds=3 * DAY)),
    ),
    "api": ("{api: true, again: always}", ByApi(Span(seconds=DAY), "always")),
}


@pytest.mark.parametrize(("text", "meant"), ENTRIES.values(), ids=ENTRIES)
def test_an_entry_has_its_default_rules(shop: Shop, text: str, meant: Entry) -> None:
    """`again` and `if_late` where nothing is written, and as written."""
    loaded = shop.journey("  - email: hello\n", f"entry: {text}\naudience: everyone\n").load()
    assert loaded.problems == []
    assert loaded.campaigns["sale"].entries == (meant,)


def test_a_journey_is_read_with_stable_ids(shop: Shop) -> None:
    """Ids come from messages, words and branches; the second wait is told from the first by the choice between them."""
    shop.put({"sale/messages/hello.yaml": "subject: Hello\nvariants: {b: {subject: Hi}}\n"})
    loaded = shop.journey(
        "  - wait: 90s\n"
        "  - email: hello\n"
        "    test: {variants: [a, b], send_leader: {sample: 20%, rest: 13:00}}\n"
        "    valid_until: {value: sale_ends}\n"
        "  - wait: {days: 1, at: 09:00}\n"
        "  - choose:\n"
        "      - if: {clicked: hello}\n"
        "        then: [{wait: {until: monday, at: 09:00}}, {exit: clicked}]\n"
        "      - otherwise:\n"
        "          - split: {x: {share: 33.33%, then: {wait: {until: 2026-12-24 18:00}}}, y: {then: []}, z: {then: []}}\n"
        "  - wait: 1d\n"
        "  - {email: hello, id: once_more, only_if: {received: email.hello}}\n"
    ).load()
    assert loaded.problems == []
    steps = list(walk(loaded.campaigns["sale"].journey))
    assert [step.id for step in steps] == [
        "wait.entry", "email.hello", "wait.email.hello", "choose.email.hello", "wait.clicked.hello", "exit.clicked",
        "split.otherwise", "wait.x", "wait.choose.email.hello", "once_more",
    ]  # fmt: skip
    assert steps[0] == Wait("wait.entry", Span(seconds=90))
    assert isinstance(steps[1], Send)
    assert steps[1].test == model.Test(("a", "b"), SendLeader("clicks", 2_000, Span(seconds=DAY), time(13)))
    assert steps[1].valid_until == datetime.fromisoformat("2027-01-03 23:59")
    assert steps[2] == WaitDays("wait.email.hello", 1, time(9))
    assert steps[4] == WaitUntilDay("wait.clicked.hello", "monday", time(9))
    assert steps[7] == WaitUntil("wait.x", datetime.fromisoformat("2026-12-24 18:00"), "exit")
    assert isinstance(steps[6], Split)
    assert [(arm.name, arm.share) for arm in steps[6].arms] == [("x", 3_333), ("y", 3_334), ("z", 3_333)]
    assert steps[6].arms[1] == Arm("y", 3_334, ())
    assert isinstance(steps[9], Send)
    assert steps[9].only_if == Responded("received", "step", "email.hello")


def test_a_message_of_several_steps_is_asked_as_a_message(shop: Shop) -> None:
    """`clicked: hello` means any step that sends it."""
    loaded = shop.journey(
        "  - email: hello\n  - {email: hello, id: b}\n  - {wait: 1d, id: w}\n  - {email: hello, id: c, only_if: {clicked: hello}}\n"
    ).load()
    last = list(walk(loaded.campaigns["sale"].journey))[-1]
    assert isinstance(last, Send)
    assert last.only_if == Responded("clicked", "message", "hello")


def test_the_trigger_lends_its_fields(shop: Shop) -> None:
    """`same` and `trigger` are typed by the events of the entries."""
    loaded = shop.journey(
        "  - {email: hello, only_if: {trigger: {total: {over: 150}}}}\n",
        "entry: {event: cart_updated}\ngoal: {event: order_completed, same: cart_id, value: total}\n"
        "exit_on: [goal, {event: order_completed, same: {cart_id: cart_id}, in_last: 1d}]\n",
    ).load()
    assert loaded.problems == []
    campaign = loaded.campaigns["sale"]
    (step,) = campaign.journey
    assert isinstance(step, Send)
    assert step.only_if == TriggerIs((FieldTest("total", "money", "over", 15_000),))
    assert campaign.goal is not None
    assert campaign.goal.same == (Same("cart_id", "cart_id"),)
    assert campaign.goal.within == Span(seconds=7 * DAY)
    assert campaign.exits_on_goal
    assert campaign.exit_on == (
        HasEvent("order_completed", within=Span(seconds=DAY), same=(Same("cart_id", "cart_id"),)),
    )


def test_an_overlay_changes_what_it_names(shop: Shop) -> None:
    """workspace.staging.yaml lies over workspace.yaml in its environment only, key by key."""
    shop.put({"workspace.staging.yaml": "holdout: 5%\nsenders: {email: {shop: {from: Test <t@acme.example>}}}\n"})
    assert shop.load().workspace.holdout == 0
    staging = shop.load(env="staging")
    assert staging.problems == []
    assert staging.workspace.holdout == 500
    (sender,) = staging.workspace.senders[next(iter(staging.workspace.senders))].values()
    assert (sender.connector, sender.display_name, sender.address) == ("sandbox", "Test", "t@acme.example")

"""Pace: a connector gets no more in any time than was applied, whatever number of workers hand over."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from carillon.definition.limits import Limits, Pace
from carillon.delivery.pace import batch_size
from carillon.delivery.take import Wanted, paced_until, put_back, take
from carillon.kernel.channels import Channel
from carillon.kernel.clock import DAY, HOUR, MINUTE, SECOND, Micros
from carillon.plan.compile import rules_to_json
from carillon.plan.rules import Rules, SenderRule
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.writing import put_row
from tests.delivery.ground import NOW, RULES, hand_over, seed

HOUSE = replace(RULES, senders=(SenderRule("shop", "email", "sendgrid"), SenderRule("text", "sms", "twilio")))


def apply(store: Store, pace: Pace | None) -> Rules:
    """The house rules with this pace for mail."""
    rules = replace(HOUSE, limits=Limits(pace={} if pace is None else {Channel.EMAIL: pace}))
    with store.write("core") as c:
        put_row(c, t.setting, {"name": "rules"}, {"value": rules_to_json(rules)})
    return rules


def taken(store: Store, at: Micros, worker: str = "w", limit: int = 100) -> int:
    """How many people a worker takes at this machine time."""
    wanted = Wanted(worker, ("sendgrid", "twilio"), None, NOW + HOUR, at, limit)
    with store.write("ledger") as c:
        return sum(batch.n for batch in take(c, wanted))


def waits(store: Store, at: Micros) -> Micros | None:
    with store.read() as c:
        until = paced_until(c, Wanted("w", ("sendgrid",), None, NOW + HOUR, at, 100))
    return None if until is None else until - at


def test_a_minute_holds_its_pace_and_one_burst_whoever_takes(store: Store) -> None:
    """600 a minute in batches of 10: 10 at once, then 10 a second, shared by two workers."""
    seed(store, 900, size=10)
    apply(store, Pace(600, 60))
    assert taken(store, 0, "a") == 10
    assert taken(store, 0, "b") == 0
    assert waits(store, 0) == SECOND
    assert sum(taken(store, at * SECOND // 2, "ab"[at % 2]) for at in range(1, 121)) == 600


def test_only_the_first_in_line_says_how_long_to_wait(store: Store) -> None:
    """Others are put back before the one that was first: what it was told then is long past."""
    seed(store, 40, size=10)
    assert taken(store, 0, limit=2) == 20
    apply(store, Pace(600, 60))
    assert taken(store, 0) == 10
    assert taken(store, 0) == 0
    with store.read() as c:
        first, second = c.scalars(sa.select(t.batch.c.id).order_by(t.batch.c.id).limit(2))
    with store.write("ledger") as c:
        put_back(c, [(first, "w"), (second, "w")])
    assert taken(store, SECOND) == 10
    assert taken(store, SECOND + 1000) == 0
    assert waits(store, 2 * SECOND - 1000) == 1000


def test_an_idle_connector_saves_no_more_than_a_burst(store: Store) -> None:
    """An hour of silence is not sent all at once."""
    seed(store, 900, size=10)
    apply(store, Pace(600, 60))
    assert taken(store, 0) == 10
    assert taken(store, HOUR) == 10


def test_a_changed_pace_holds_for_the_next_batch(store: Store) -> None:
    """Slower and faster, and none at all; what it is decides the store, not the worker's start."""
    seed(store, 1000, size=100)
    apply(store, Pace(100, 1))
    assert taken(store, 0) == 100
    apply(store, Pace(10, 1))
    assert taken(store, SECOND) == 100  # larger than a burst of the new pace: it leaves a debt
    assert taken(store, 10 * SECOND) == 0
    assert taken(store, 12 * SECOND) == 100
    apply(store, None)
    assert taken(store, 13 * SECOND) == 700


def test_an_account_warms_up_day_by_day(store: Store) -> None:
    """120 on the first day, in handfuls, and twice as many on the next."""
    seed(store, 900, size=1)
    apply(store, Pace(120, 86_400, grow=2))
    step = 12 * MINUTE
    first = sum(taken(store, at, limit=500) for at in range(0, DAY, step))
    second = sum(taken(store, at, limit=500) for at in range(DAY, 2 * DAY, step))
    assert 118 <= first <= 123
    assert 236 <= second <= 244


def test_other_connectors_go_on(store: Store) -> None:
    """A pace of mail holds no SMS back."""
    seed(store, 100, size=10, channel="sms", connector="twilio")
    apply(store, Pace(1, 86_400))
    assert taken(store, 0) == 100


def test_batches_are_no_larger_than_a_burst(store: Store) -> None:
    """Else a slow pace would come in lumps."""
    rules = apply(store, Pace(600, 60))
    assert [batch_size(rules, channel, 1000) for channel in ("email", "sms")] == [10, 1000]


@pytest.mark.parametrize("people", [100])
def test_a_work_waits_for_its_pace_and_hands_over_all(sqlite_store: Store, people: int) -> None:
    """40 a second: the first 40 at once, the others in a second and a half; nothing is left for another run."""
    seed(sqlite_store, people, size=20)
    apply(sqlite_store, Pace(40, 1))
    began = time.monotonic()
    result, it = hand_over(sqlite_store)
    took = time.monotonic() - began
    assert (result.people, result.retry_at) == ({"accepted": people}, None)
    assert set(it.got.values()) == {1}
    assert took > 1.4

"""A provider that wants less gets less: from all workers of the store, as long as it says, and not for longer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from aiohttp import web

from carillon.delivery.backoff import MOST_DEFERRALS_OF_A_PERSON, person_retry_after, retry_after
from carillon.delivery.holds import go_on, hold
from carillon.delivery.protocol import Accepted, Deferred, Outcome
from carillon.delivery.slower import Slowed, heed, slowed
from carillon.delivery.take import Wanted, paced_until, take
from carillon.delivery.work import WorkResult, work_on
from carillon.kernel.clock import HOUR, MINUTE, SECOND, Micros
from carillon.kernel.worker import worker_id
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.delivery.ground import (
    NOW,
    RULES,
    Clocks,
    PlainBodies,
    Provider,
    connect,
    faults,
    hand_over,
    seed,
    states,
    text_answer,
)  # fmt: skip

AT = NOW
"""A machine time; only differences matter."""
BUSY = Deferred("429 too many requests")


def say(store: Store, *outcomes: Outcome, at: Micros, connector: str = "sendgrid") -> Slowed | None:
    """What a hand-over brought, and how the connector stands then."""
    with store.write("ledger") as c:
        heed(c, connector, outcomes, at, 60)
    return standing(store, at, connector)


def standing(store: Store, at: Micros, connector: str = "sendgrid") -> Slowed | None:
    with store.read() as c:
        return slowed(c, at).get(connector)


def accepted(store: Store, batches: list[int], *, over_s: int) -> None:
    """These batches were taken, one after the other, in the seconds before `AT`."""
    with store.write("ledger") as c:
        for place, id_ in enumerate(batches):
            begun = AT - over_s * SECOND + place * over_s * SECOND // len(batches)
            c.execute(t.batch.update().where(t.batch.c.id == id_).values(state="accepted", begun_at=begun))


def taken(store: Store, at: Micros, worker: str = "w") -> int:
    with store.write("ledger") as c:
        return sum(batch.n for batch in take(c, Wanted(worker, ("sendgrid", "twilio"), None, NOW + HOUR, at, 100)))


def test_a_429_halves_the_pace_and_it_comes_back_in_minutes(store: Store) -> None:
    """600 people went in ten seconds: half of it, all of it a minute later, free again after three."""
    accepted(store, seed(store, 600, size=10), over_s=9)
    cut = say(store, BUSY, at=AT)
    assert cut is not None
    assert cut.per_minute == 2000
    rates = [standing(store, AT + after) for after in (30 * SECOND, MINUTE, 2 * MINUTE, 3 * MINUTE)]
    assert [one and one.per_minute for one in rates] == [3000, 4000, 6000, None]
    assert say(store, BUSY, at=AT + MINUTE) == Slowed("sendgrid", AT + MINUTE + retry_after("sendgrid", 2), 2000)


def test_what_was_in_flight_beside_the_first_429_tells_nothing_new(store: Store) -> None:
    """Eight lanes are refused within a second: one cut, one rest, which only a longer wish of the provider's moves."""
    accepted(store, seed(store, 600, size=10), over_s=9)
    first = say(store, BUSY, at=AT)
    assert first is not None
    others = [say(store, BUSY, at=AT + n * SECOND // 10) for n in range(1, 8)]
    assert {one and one.rest_until for one in others} == {first.rest_until}
    assert [one and one.per_minute for one in others] == [2000 + 2000 * n // 600 for n in range(1, 8)]
    later = say(store, Deferred("429", 40.0), at=AT + SECOND // 2)
    assert later is not None
    assert later.rest_until is not None
    assert 40 * SECOND <= later.rest_until - AT - SECOND // 2 <= 44 * SECOND


def test_rests_double_until_somebody_is_taken(store: Store) -> None:
    """1–2 s, 2–4 s, 4–8 s …, at most five minutes; one acceptance begins anew. The same each time: nothing is drawn."""
    at, waits = AT, []
    for _ in range(10):
        rest = say(store, Deferred("refused", because="away"), at=at)
        assert rest is not None
        assert rest.rest_until is not None
        waits.append(rest.rest_until - at)
        at = rest.rest_until
    assert waits == [retry_after("sendgrid", n) for n in range(1, 11)]
    assert all(2 ** (n - 1) * SECOND <= wait <= 2**n * SECOND for n, wait in enumerate(waits[:8], 1))
    assert waits[-1] <= 300 * SECOND
    assert say(store, Accepted("m"), at=at) is None
    assert say(store, BUSY, at=at) == Slowed("sendgrid", at + retry_after("sendgrid", 1), None)


def test_a_used_up_allowance_is_waited_for_without_a_429(store: Store) -> None:
    """`X-RateLimit-Remaining: 0` rests until the reset, and is no reason to go slower afterwards."""
    accepted(store, seed(store, 600, size=10), over_s=9)
    rest = say(store, Accepted("m", rest_s=20.0), at=AT)
    assert rest is not None
    assert rest.rest_until is not None
    assert rest.per_minute is None
    assert 20 * SECOND <= rest.rest_until - AT <= 22 * SECOND
    assert standing(store, AT + 22 * SECOND) is None


def test_nobody_takes_for_a_connector_that_rests_and_others_go_on(store: Store) -> None:
    """Whichever worker is asked; the first batch says until when it waits."""
    seed(store, 30, size=10)
    with store.write("ledger") as c:
        c.execute(t.batch.update().where(t.batch.c.id == 2).values(connector="twilio"))
    rest = say(store, Deferred("429", 30.0), at=AT)
    assert rest is not None
    assert rest.rest_until is not None
    assert [taken(store, AT, "a"), taken(store, AT, "b")] == [10, 0]
    with store.read() as c:
        assert paced_until(c, Wanted("w", ("sendgrid",), None, NOW + HOUR, AT, 100)) == rest.rest_until
    assert taken(store, rest.rest_until, "b") == 20


def test_a_cut_pace_is_shared_by_workers(store: Store) -> None:
    """2,000 a minute after the cut, whoever asks: 33 at once, then 33 a second."""
    batches = seed(store, 1200, size=10)
    accepted(store, batches[:60], over_s=9)
    cut = say(store, BUSY, at=AT)
    assert cut is not None
    assert cut.rest_until is not None
    begun = cut.rest_until
    first = sum(taken(store, begun, worker) for worker in "abc")
    assert first == 30
    then = sum(taken(store, begun + n * SECOND // 4, "abc"[n % 3]) for n in range(1, 41))
    assert 330 <= then <= 400, "ten seconds, in which it comes back a little"


def test_a_person_who_lets_a_connector_go_on_ends_its_rest(store: Store) -> None:
    say(store, Deferred("429", 600.0), at=AT)
    with store.write("ledger") as c:
        hold(c, "sendgrid", "401", AT)
    go_on(store, "sendgrid", who="ann", why="a new key", at=NOW)
    assert standing(store, AT) is None


def test_one_mailbox_that_says_not_now_holds_nobody_up_and_waits_longer_each_time(sqlite_store: Store) -> None:
    """21408 is asked again after an hour; a mailbox after one minute, two, four, up to four hours, for five days."""
    seed(sqlite_store, 200, size=200, channel="sms", connector="twilio")
    closed = {"7", "130"}

    def answer(_: int, cids: list[str]) -> web.Response:
        if closed & set(cids):
            return text_answer(400, code=21408, message="not enabled")
        return text_answer()

    result, it = hand_over(sqlite_store, answer)
    assert states(sqlite_store) == {"accepted": 198, "ready": 2}
    assert (result.people["deferred"], it.requests) == (2, 200)
    with sqlite_store.read() as c:
        assert c.scalar(sa.select(sa.func.count()).select_from(t.batch)) == 3, "one, and a child for each of the two"
    waits = [person_retry_after(1, n) for n in range(1, MOST_DEFERRALS_OF_A_PERSON + 1)]
    assert all(30 * SECOND * 2 ** (n - 1) <= wait <= MINUTE * 2 ** (n - 1) for n, wait in enumerate(waits[:8], 1))
    assert 4 * 24 * HOUR < sum(waits) < 6 * 24 * HOUR
    with sqlite_store.write("ledger") as c:
        c.execute(
            t.batch.update()
            .where(t.batch.c.state == "ready")
            .values(retry_at=None, deferrals=MOST_DEFERRALS_OF_A_PERSON - 1)
        )
    assert hand_over(sqlite_store, answer)[0].people == {"rejected": 2}


def test_deferrals_are_counted_through_children(sqlite_store: Store) -> None:
    """A back-off that began anew with each part of a batch would never grow."""
    seed(sqlite_store, 10, size=10, channel="sms", connector="twilio")
    for times in (1, 2, 3):
        hand_over(sqlite_store, lambda _, __: text_answer(400, code=21408, message="x"))
        with sqlite_store.write("ledger") as c:
            ready = c.execute(sa.select(t.batch.c.id, t.batch.c.deferrals).where(t.batch.c.state == "ready")).all()
            assert [row.deferrals for row in ready] == [times]
            c.execute(t.batch.update().values(retry_at=None))


# ------------------------------------------------------------------------------------- real servers that want less


@dataclass
class Limited(Provider):
    """A provider with an allowance: so many requests a second, said in its headers, and so many at the same time."""

    a_second: int = 10**9
    at_once: int = 10**9
    taken: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    _second: int = 0
    _in_second: int = 0
    _now: int = 0

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        is_mail = request.content_type == "application/json"
        cids = _cids(await request.json() if is_mail else dict(await request.post()))
        if self._second != int(time.time()):
            self._second, self._in_second = int(time.time()), 0
        left = self.a_second - self._in_second
        limits = {"X-RateLimit-Remaining": str(max(left - 1, 0)), "X-RateLimit-Reset": str(self._second + 1)}
        if left <= 0 or self._now >= self.at_once:
            self.refused += 1
            return web.json_response({"code": 20429, "message": "too many"}, status=429, headers=limits)
        self._in_second += 1
        self._now += 1
        await asyncio.sleep(0.01)
        self._now -= 1
        self.taken.update(cids)
        if is_mail:
            return web.Response(status=202, headers={"X-Message-Id": "m", **limits})
        return text_answer()


def _cids(body: dict[str, object]) -> list[str]:
    if "personalizations" in body:
        return [p["custom_args"]["cid"] for p in body["personalizations"]]  # type: ignore[attr-defined]
    return [str(body["StatusCallback"]).partition("cid=")[2].partition("#")[0]]


def until_done(store: Store, it: Limited, workers: int = 1) -> list[WorkResult]:
    """Runs, one after the other, until nobody waits; each begins as soon as the deferred may be tried again."""

    async def one(name: str) -> WorkResult:
        connectors, clocks = connect(it), Clocks()
        result = await work_on(
            store, PlainBodies(store, connectors), connectors=connectors, rules=RULES, campaign_clock=clocks.campaign,
            machine_clock=clocks.machine, worker=f"{worker_id()}/{name}",
        )  # fmt: skip
        for connector in connectors.values():
            await connector.close()
        return result

    async def go() -> list[WorkResult]:
        app = web.Application()
        app.router.add_post("/{path:.*}", it.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        it.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        results: list[WorkResult] = []
        while states(store).get("ready") and len(results) < 60:
            results += await asyncio.gather(*[one(str(n)) for n in range(workers)])
            with store.write("ledger") as c:  # the runs' back-off before is over, the connector's rest is not
                c.execute(t.batch.update().values(retry_at=None))
        await runner.cleanup()
        return results

    results = asyncio.run(go())
    assert faults(store) == []
    return results


def test_an_allowance_a_second_is_kept_by_its_headers(sqlite_store: Store) -> None:
    """40 requests to a provider that takes 15 a second: everybody once, and hardly a request that is refused."""
    seed(sqlite_store, 400, size=10)
    it = Limited(a_second=15)
    until_done(sqlite_store, it)
    assert states(sqlite_store) == {"accepted": 400}
    assert set(it.taken.values()) == {1}
    assert len(it.taken) == 400
    assert it.refused <= 12, "what is in flight when the allowance ends: a lane each, a few times"


@pytest.mark.parametrize(
    ("people", "at_once", "workers"), [(60, 16, 2), pytest.param(600, 6, 1, marks=pytest.mark.soak)]
)
def test_a_limit_that_nobody_tells_is_found_by_going_slower(
    sqlite_store: Store, people: int, at_once: int, workers: int
) -> None:
    """So many at the same time, else 20429: everybody once, and most of what is asked is taken."""
    seed(sqlite_store, people, size=30, channel="sms", connector="twilio")
    it = Limited(at_once=at_once)
    until_done(sqlite_store, it, workers)
    assert states(sqlite_store) == {"accepted": people}
    assert set(it.taken.values()) == {1}
    assert it.refused < people, f"{it.refused} refused for {people} taken"

"""Work: what is due is handed over once, and every answer of a provider finds its place in the ledger."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from aiohttp import web

from carillon.delivery.holds import go_on
from carillon.delivery.work import work_on
from carillon.kernel.clock import HOUR, MINUTE, SECOND, VirtualClock
from carillon.kernel.worker import worker_id
from carillon.store import tables as t
from tests.delivery.ground import (
    NOW,
    RULES,
    Clocks,
    PlainBodies,
    connect,
    faults,
    hand_over,
    provider,
    seed,
    states,
    text_answer,
)


def accepted(_: int, __: list[str]) -> web.Response:
    return web.Response(status=202, headers={"X-Message-Id": "m"})


def refused(status: int):
    return lambda _, __: web.json_response({"errors": [{"message": "no", "field": None}]}, status=status)


def attempts(store):
    with store.read() as c:
        rows = c.execute(sa.select(t.attempt.c.batch_id, t.attempt.c.no, t.attempt.c.status).order_by(sa.text("1, 2")))
        return [tuple(row) for row in rows]


def test_everybody_due_gets_one_message(store):
    """2,500 people in three batches: three requests, each person once, all accepted with the provider's id."""
    batches = seed(store, 2500)
    result, it = hand_over(store)
    assert (result.accepted, result.batches, it.requests) == (2500, 3, 3)
    assert (len(it.got), set(it.got.values())) == (2500, {1})
    assert states(store) == {"accepted": 2500}
    assert attempts(store) == [(b, 1, "accepted") for b in batches]
    with store.read() as c:
        assert c.execute(sa.select(t.batch.c.provider_ref).distinct()).scalars().all() == ["m"]


def test_a_second_work_has_nothing_to_do(store):
    """What is accepted is never taken again."""
    seed(store, 10)
    hand_over(store)
    result, it = hand_over(store)
    assert (result.people, it.requests) == ({}, 0)


def test_what_is_not_due_or_too_late_or_stopped_stays(store):
    """A batch of tomorrow and one of a paused campaign wait; the people of one whose time has passed are due again."""
    seed(store, 30, size=10)
    with store.write("ledger") as c:
        c.execute(t.batch.update().where(t.batch.c.id == 1).values(due_at=NOW + 24 * HOUR))
        c.execute(t.batch.update().where(t.batch.c.id == 2).values(not_after=NOW + MINUTE))
        c.execute(t.batch.update().where(t.batch.c.id == 3).values(campaign_id=4))
    with store.write("core") as c:
        c.execute(t.campaign.insert().values(id=4, name="paused", operator_state="paused"))
    result, it = hand_over(store)
    assert (result.batches, it.requests, states(store)) == (0, 0, {"ready": 20})
    assert result.people == {"released": 10}


def test_who_left_lost_consent_or_was_suppressed_falls_out_at_the_claim(store):
    """Four people cannot be written to any more when the claim looks; each has the reason, six get the mail."""
    seed(store, 10)
    with store.write("ledger") as c:
        c.execute(t.enrolment.update().where(t.enrolment.c.id == 1).values(state="done", exit_code="goal"))
        c.execute(t.enrolment.update().where(t.enrolment.c.id == 2).values(state="done", exit_code="finished"))
    with store.write("core") as c:
        stand = t.standing.update()
        c.execute(stand.where(t.standing.c.contact_id == 3).values(allow_bits=0))
        c.execute(stand.where(t.standing.c.contact_id == 4).values(closed_bits=1 << 8))
        c.execute(t.standing.delete().where(t.standing.c.contact_id == 5))
        c.execute(t.contact.update().where(t.contact.c.id == 6).values(email_key=None))
    result, it = hand_over(store)
    why = {"exited": 1, "skipped:no_address": 1, "skipped:no_consent": 2, "skipped:suppressed": 1}
    assert result.people == why | {"accepted": 5}
    assert states(store) == {"accepted": 5} | why
    assert sorted(it.got) == ["10", "2", "7", "8", "9"]


def test_templates_that_withhold_leave_a_reason(store):
    """Two people are skipped by the template: they are no part of the request, and a batch of theirs alone is no call."""
    seed(store, 6, size=2)
    skips = {1: "skipped:template_skip", 2: "skipped:template_skip", 3: "skipped:render_failed"}
    result, it = hand_over(store, skips={e: word.removeprefix("skipped:") for e, word in skips.items()})
    assert it.requests == 2
    assert states(store) == {"accepted": 3, "skipped:render_failed": 1, "skipped:template_skip": 2}
    assert result.people == {"skipped:template_skip": 2, "skipped:render_failed": 1, "accepted": 3}


def test_a_refused_request_is_halved_until_the_bad_person_stands_alone(store):
    """One bad row of 64 does not block the 63: seven refusals find it, and each half is a batch of its own."""
    seed(store, 64)
    bad = "17"

    result, it = hand_over(store, lambda n, cids: refused(400)(n, cids) if bad in cids else accepted(n, cids))
    assert result.people == {"accepted": 63, "rejected": 1}
    assert states(store) == {"accepted": 63, "rejected": 1}
    assert it.got[bad] == 7


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_hold_the_connector_and_keep_the_sends(store, status):
    """One refusal stops all batches of the connector; a person says go on, and all go out."""
    seed(store, 50, size=5)
    result, it = hand_over(store, refused(status))
    assert list(result.held) == ["sendgrid"]
    assert states(store) == {"ready": 50}
    assert it.requests <= 8
    assert hand_over(store)[1].requests == 0
    said = {"who": "ann", "why": "a new key", "at": NOW}
    assert [go_on(store, "sendgrid", **said), go_on(store, "sendgrid", **said)] == [50, 0]
    assert hand_over(store)[0].accepted == 50


def test_a_deferred_batch_waits_as_long_as_the_provider_asks(store):
    """429 with a reset in 40 s: not a second earlier, up to a tenth later, and twice as long without a word."""
    seed(store, 5)
    clocks = Clocks(machine=VirtualClock(NOW))
    late = web.Response(status=429, headers={"Retry-After": "40"})
    result, _ = hand_over(store, lambda _, __: late, clocks=clocks)
    assert result.people == {"deferred": 5}
    assert 40 * SECOND <= result.retry_at - NOW <= 44 * SECOND
    clocks.machine.move_to(NOW + 39 * SECOND)
    assert hand_over(store, clocks=clocks)[1].requests == 0
    clocks.machine.move_to(NOW + 44 * SECOND)
    assert hand_over(store, clocks=clocks)[0].accepted == 5
    assert attempts(store) == [(1, 1, "deferred"), (1, 2, "accepted")]


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_an_answer_that_proves_nothing_leaves_the_batch_unsure(store, status):
    """The people of an unsure batch are not written to again by any later work."""
    seed(store, 5)
    result, _ = hand_over(store, refused(status))
    assert (result.unsure, states(store)) == (5, {"unsure": 5})
    assert hand_over(store)[1].requests == 0


def test_stop_ends_the_work_between_two_batches(store):
    """After the stop nothing is claimed; nothing is left claimed, and the next work takes the rest."""
    seed(store, 1000, size=10)
    stop = asyncio.Event()

    def answer(number, cids):
        if number == 20:
            stop.set()
        return accepted(number, cids)

    result, _ = hand_over(store, answer, stop=stop)
    assert 200 <= result.accepted <= 300
    assert states(store) == {"accepted": result.accepted, "ready": 1000 - result.accepted}
    assert hand_over(store)[0].accepted == 1000 - result.accepted


def test_two_workers_share_the_batches_and_nobody_is_written_to_twice(store):
    """Two works at once on one store: all people once, whoever took them."""
    seed(store, 3000, size=50)

    async def go():
        async with provider() as it:

            async def one(name):
                connectors = connect(it)
                clocks = Clocks()
                result = await work_on(
                    store, PlainBodies(store, connectors), connectors=connectors, rules=RULES,
                    campaign_clock=clocks.campaign, machine_clock=clocks.machine, worker=name,
                )  # fmt: skip
                for connector in connectors.values():
                    await connector.close()
                return result

            return await asyncio.gather(one("a"), one("b")), it

    results, it = asyncio.run(go())
    assert (len(it.got), set(it.got.values())) == (3000, {1})
    assert sum(r.accepted for r in results) == 3000
    assert faults(store) == []


def test_texts_go_one_by_one_and_each_keeps_its_receipt(store):
    """150 texts in windows of 64: everybody once, one receipt each, one refused for a dead number, one for STOP."""
    seed(store, 150, channel="sms", connector="twilio")
    with store.read() as c:
        phone_of = dict(c.execute(sa.select(t.contact.c.id, t.contact.c.phone_key)).all())

    def answer(number, cids):
        return {7: text_answer(400, code=21610, message="stop"), 9: text_answer(400, code=21211, message="bad")}.get(
            number
        ) or text_answer(sid=f"SM{number}")

    result, it = hand_over(store, answer)
    assert result.people == {"accepted": 148, "rejected": 2}
    assert states(store) == {"accepted": 148, "rejected": 2}
    assert (len(it.got), set(it.got.values())) == (150, {1})
    with store.read() as c:
        assert c.execute(sa.select(sa.func.count(t.receipt.c.provider_ref.distinct()))).scalar() == 148
        suppressed = c.execute(sa.select(t.suppression.c.address_key)).scalars().all()
        rejected = c.execute(sa.select(t.send.c.contact_id).where(t.send.c.outcome == "rejected")).scalars().all()
    assert sorted(suppressed) == sorted(phone_of[i] for i in rejected)


def test_a_window_with_every_answer_sorts_its_people(store):
    """Of 100 texts one is deferred and one unsure: the pause ends the batch, and those behind it never began."""
    seed(store, 100, channel="sms", connector="twilio")

    def answer(number, cids):
        return {3: text_answer(429, code=20429), 5: text_answer(500)}.get(number) or text_answer()

    clocks = Clocks(machine=VirtualClock(NOW))
    result, it = hand_over(store, answer, clocks=clocks)
    assert result.people == {"accepted": 62, "deferred": 1, "unsure": 1, "released": 36}
    assert states(store) == {"accepted": 62, "ready": 37, "unsure": 1}
    assert len(it.got) == 64
    clocks.machine.move_to(NOW + MINUTE)
    assert hand_over(store, lambda _, __: text_answer(), clocks=clocks)[0].accepted == 37
    assert states(store) == {"accepted": 99, "unsure": 1}


def test_a_cancelled_work_settles_what_is_on_the_wire(store):
    """Ctrl-C while eight requests wait for their answers: those are accepted, the others stay ready, nothing is unsure."""
    seed(store, 300, size=10)

    async def go():
        waiting, answers = asyncio.Event(), asyncio.Event()

        async with provider(held_back=(waiting, answers)) as it:
            connectors, clocks = connect(it), Clocks()
            running = asyncio.create_task(
                work_on(
                    store, PlainBodies(store, connectors), connectors=connectors, rules=RULES,
                    campaign_clock=clocks.campaign, machine_clock=clocks.machine, worker=worker_id(),
                )
            )  # fmt: skip
            await waiting.wait()
            running.cancel()
            await asyncio.sleep(0.05)
            answers.set()
            with pytest.raises(asyncio.CancelledError):
                await running
            for connector in connectors.values():
                await connector.close()
            return it

    it = asyncio.run(go())
    assert 10 <= len(it.got) <= 80
    assert states(store) == {"accepted": len(it.got), "ready": 300 - len(it.got)}
    assert hand_over(store)[0].accepted == 300 - len(it.got)

"""Work: what is due is handed over once, and every answer of a provider finds its place in the ledger."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from carillon.delivery.work import work
from carillon.kernel.worker import worker_id
from carillon.store import tables as t
from carillon.store.engine import Store
from connectors.sendgrid.connector import make
from tests.delivery.ground import RULES, Clocks, PlainBodies, faults, provider, seed, states


def run(store: Store, answer=None, *, clocks: Clocks | None = None, skips=None, stop=None, progress=None):
    clocks = clocks or Clocks()

    async def go():
        async with provider(answer) as it:
            connector = make({"SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": it.url})
            connectors = {"sendgrid": connector}
            try:
                result = await work(
                    store, connectors=connectors, bodies=PlainBodies(store, connectors, skips), rules=RULES,
                    campaign_clock=clocks.campaign, machine_clock=clocks.machine, worker=worker_id(), stop=stop,
                    progress=progress,
                )  # fmt: skip
            finally:
                await connector.close()
            return result, it

    result, it = asyncio.run(go())
    assert faults(store) == []
    return result, it


def test_everybody_due_gets_one_message(store):
    """2,500 people in three batches: three requests, each person once, all accepted with the provider's id."""
    seed(store, 2500)
    result, it = run(store)
    assert (result.accepted, result.batches, it.requests) == (2500, 3, 3)
    assert (len(it.got), set(it.got.values())) == (2500, {1})
    assert states(store) == {"accepted": 2500}
    with store.read() as c:
        assert c.execute(sa.select(t.attempt.c.status, t.batch.c.provider_ref).join_from(t.attempt, t.batch, t.attempt.c.batch_id == t.batch.c.id)).all() == [("accepted", "m")] * 3  # fmt: skip


def test_a_second_work_has_nothing_to_do(store):
    """What is accepted is never taken again."""
    seed(store, 10)
    run(store)
    result, it = run(store)
    assert (result.people, it.requests) == ({}, 0)

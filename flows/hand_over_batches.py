"""The standing flow by which further workers help: it takes ready batches of all campaigns and hands them over."""

from __future__ import annotations

import asyncio

from prefect import flow, get_run_logger, task

from carillon.advance.listen import listen
from carillon.assembly import engine_of, open_house, sandbox_at_hand
from carillon.delivery.model import WorkResult
from carillon.delivery.stopping import stop_when
from carillon.delivery.work import work
from carillon.kernel.stopping import asked_to_stop
from carillon.kernel.worker import worker_id
from carillon.plan.applied import load_rules
from flows.read_secrets import settings_of_run


@flow(name="hand_over_batches", description="Helps to hand over what is ready, whichever campaign it is of.")
def hand_over_batches() -> dict[str, int]:
    """Hand over everything that is due now."""
    result = hand_over_ready()
    get_run_logger().info("%d batches: %s", result.batches, dict(result.people) or "nothing was ready")
    return dict(result.people)


@task(task_run_name="hand over ready batches")
def hand_over_ready() -> WorkResult:
    """Claims are exact whoever makes them: a batch has one worker at a time."""
    settings = settings_of_run()
    store = open_house(settings)
    try:
        with store.read() as connection:
            rules = load_rules(connection)
        with sandbox_at_hand(settings, rules) as sandbox, asked_to_stop() as stopping:
            engine = engine_of(settings, store, sandbox=sandbox)

            async def run() -> WorkResult:
                connectors = engine.make_connectors()
                try:
                    async with stop_when(stopping) as stop:
                        return await work(
                            store, connectors=connectors, rules=rules, keyring=engine.keyring,
                            campaign_clock=engine.campaign_clock, machine_clock=engine.machine_clock,
                            worker=worker_id(), stop=stop,
                            refresh=lambda: listen(store, engine.campaign_clock.now()),
                        )  # fmt: skip
                finally:
                    await asyncio.gather(*(c.close() for c in connectors.values()))

            return asyncio.run(run())
    except LookupError:
        return WorkResult()  # nothing was ever applied to this store
    finally:
        store.close()

"""The standing flow of every minute: what Prefect lost or left behind never holds a campaign up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow, get_client, get_run_logger, task
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

from carillon.advance.advance import advance
from carillon.advance.lease import AlreadyRunning, lease_holder
from carillon.advance.overdue import overdue
from carillon.assembly import engine_of, open_house, sandbox_at_hand
from carillon.kernel.clock import MINUTE, SystemClock
from carillon.plan.applied import load_rules
from carillon.settings import read_settings
from flows.deploy_campaigns import our_deployments
from flows.plan_next_run import keep_newest_missed

PATIENCE = 2 * MINUTE
"""So long a run of Prefect's own may be late before the engine advances the campaign itself."""
DEAD_AFTER = timedelta(minutes=10)
"""A run that has been Running so long while nobody holds its campaign's lease has no process any more."""


@flow(name="keep_time", description="Advances overdue campaigns, ends runs whose process is gone, cancels missed runs.")
async def keep_time() -> dict[str, int]:
    """Reconcile once; every part may be repeated."""
    log = get_run_logger()
    advanced = advance_overdue()
    crashed = await end_lost_runs()
    missed = await cancel_missed_runs()
    log.info("%d overdue campaigns advanced, %d lost runs ended, %d missed runs cancelled", advanced, crashed, missed)
    return {"advanced": advanced, "crashed": crashed, "missed": missed}


@task(task_run_name="advance what is overdue")
def advance_overdue() -> int:
    """Let the engine do what no run has done in time; a campaign that is being advanced is left alone."""
    settings = read_settings()
    store = open_house(settings)
    done = 0
    try:
        names = overdue(store, SystemClock().now() - PATIENCE)
        if not names:
            return 0
        with store.read() as connection:
            rules = load_rules(connection)
        with sandbox_at_hand(settings, rules) as sandbox:
            engine = engine_of(settings, store, sandbox=sandbox)
            for name in names:
                try:
                    advance(engine, name)
                    done += 1
                except AlreadyRunning:
                    continue
    finally:
        store.close()
    return done


@task(task_run_name="end runs whose process is gone")
async def end_lost_runs() -> int:
    """Runs of campaigns that say Running while nobody holds the campaign's lease are Crashed, which frees their slot."""
    deployments = {d.id: d.name for d in await our_deployments()}
    settings = read_settings()
    store = open_house(settings)
    ended = 0
    try:
        async with get_client() as client:
            running = await client.read_flow_runs(
                limit=200,
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
                    start_time=FlowRunFilterStartTime(before_=datetime.now(UTC) - DEAD_AFTER),
                ),
            )
            for run in running:
                name = deployments.get(run.deployment_id) if run.deployment_id else None
                if name is not None and lease_holder(store, f"advance:{name}", SystemClock()) is None:
                    lost = Crashed(message="its process is gone: nobody holds the campaign's lease")
                    await client.set_flow_run_state(run.id, lost, force=True)
                    ended += 1
    finally:
        store.close()
    return ended


@task(task_run_name="cancel missed runs but the newest")
async def cancel_missed_runs() -> int:
    """Of each deployment's missed runs only the newest is worth running."""
    return sum([await keep_newest_missed(UUID(str(d.id))) for d in await our_deployments()])

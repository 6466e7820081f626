"""The standing flow of every minute: what Prefect lost or left behind never holds a campaign up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from prefect import flow, get_client, get_run_logger, task
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events import emit_event
from prefect.states import Crashed

from carillon.advance.advance import advance
from carillon.advance.engine import Engine
from carillon.advance.lease import AlreadyRunning, lease_holder
from carillon.advance.overdue import PATIENCE, overdue
from carillon.assembly import engine_of, open_house, reporting, sandbox_at_hand
from carillon.kernel.clock import SystemClock, from_micros
from carillon.kernel.stopping import asked_to_stop
from carillon.operating.silence import is_to_be_told, silence
from carillon.plan.applied import load_rules
from carillon.store.engine import Store
from flows.deploy_campaigns import our_deployments
from flows.plan_next_run import ask_for_run, keep_newest_missed
from flows.read_secrets import settings_of_run

SILENT = "carillon.feedback.silent"
"""The event that an automation of Prefect's can turn into a mail or a message to whoever is on duty."""

DEAD_AFTER = timedelta(minutes=3)
"""A run that has been under way so long while nobody holds its campaign's lease has no process any more."""


@flow(
    name="keep_time",
    description="Ends runs whose process is gone, cancels missed runs, advances overdue campaigns.",
    flow_run_name=lambda: f"keep_time {datetime.now(UTC):%a %-d %b %Y %H:%M} UTC",
)
def keep_time() -> dict[str, int]:
    """Reconcile once; every part may be repeated."""
    listen()
    crashed = end_lost_runs()
    missed = cancel_missed_runs()
    # The last part, because a fault of a campaign ends the run as Failed.
    advanced = advance_overdue()
    get_run_logger().info(
        "%d overdue campaigns advanced, %d lost runs ended, %d missed runs cancelled", advanced, crashed, missed
    )
    return {"advanced": advanced, "crashed": crashed, "missed": missed}


@task(task_run_name="listen whether providers report")
def listen() -> bool:
    """Raise the alarm where providers took messages and for hours report about none; once an hour."""
    store, now = open_house(settings_of_run()), SystemClock().now()
    try:
        with store.read() as connection:
            quiet = silence(connection, reporting(load_rules(connection)), now)
        if quiet is None or not is_to_be_told(store, now):
            return False
    except LookupError:  # nothing was ever applied to this store
        return False
    finally:
        store.close()
    get_run_logger().warning("%s since %s: `carillon doctor`", quiet.sentence, from_micros(quiet.since))
    emit_event(
        SILENT, resource={"prefect.resource.id": "carillon.feedback"},
        payload={"people": quiet.people, "since": from_micros(quiet.since).isoformat()},
    )  # fmt: skip
    return True


@task(task_run_name="advance what is overdue")
def advance_overdue() -> int:
    """Let the engine do what no run has done in time; a campaign that is being advanced is left alone."""
    settings = settings_of_run()
    store = open_house(settings)
    try:
        now = SystemClock().now()
        names = overdue(store, now - PATIENCE, now)
        if not names:
            return 0
        with store.read() as connection:
            rules = load_rules(connection)
        with sandbox_at_hand(settings, rules) as sandbox, asked_to_stop() as stopping:
            return _advance_each(engine_of(settings, store, sandbox=sandbox), names, stopping)
    finally:
        store.close()


def _advance_each(engine: Engine, names: list[str], stopping: Callable[[], bool]) -> int:
    """Advance them all, and plan their next runs anew; a fault of one is raised when the others had their turn."""
    done, faults = 0, []
    deployments = {d.name: d.id for d in asyncio.run(our_deployments())}
    for name in names:
        if stopping():
            break
        try:
            advanced = advance(engine, name, stopping=stopping)
        except AlreadyRunning:
            continue
        except Exception as fault:
            faults.append(fault)
            continue
        done += 1
        for stage in advanced.stages:
            get_run_logger().info("%s · %s", name, stage.line)
        if advanced.next_due is not None and name in deployments:
            asyncio.run(ask_for_run(deployments[name], name, from_micros(advanced.next_due)))
    if faults:
        raise ExceptionGroup("campaigns that could not be advanced", faults)
    return done


@task(task_run_name="end runs whose process is gone")
def end_lost_runs() -> int:
    """What has been under way for long while nobody holds the campaign's lease is Crashed."""
    store = open_house(settings_of_run())
    try:
        return asyncio.run(end_lost(store, DEAD_AFTER))
    finally:
        store.close()


async def end_lost(store: Store, dead_after: timedelta) -> int:
    """End runs of campaigns that seem under way for so long while nobody holds the campaign's lease: their slot is free."""
    deployments, ended = {d.id: d.name for d in await our_deployments()}, 0
    async with get_client() as client:
        under_way = await client.read_flow_runs(
            limit=200,
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])),
                expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) - dead_after),
            ),
        )
        for run in under_way:
            name = deployments.get(run.deployment_id) if run.deployment_id else None
            if name is None or _age(run) < dead_after:
                continue
            if lease_holder(store, f"advance:{name}", SystemClock()) is not None:
                continue
            lost: State[None] = Crashed(message="its process is gone: nobody holds the campaign's lease")
            await client.set_flow_run_state(run.id, lost, force=True)
            ended += 1
    return ended


def _age(run: FlowRun) -> timedelta:
    """How long it has been in its state: a run that waited for a worker began late."""
    since = run.state.timestamp if run.state else run.start_time
    return datetime.now(UTC) - since if since else timedelta.max


@task(task_run_name="cancel missed runs but the newest")
def cancel_missed_runs() -> int:
    """Of each deployment's missed runs only the newest is worth running."""
    return asyncio.run(_cancel_missed())


async def _cancel_missed() -> int:
    return sum([await keep_newest_missed(d.id) for d in await our_deployments()])

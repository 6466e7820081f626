"""Nothing long sleeps: at the end of a run the campaign's next due instant becomes its deployment's next run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import get_client, runtime
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Scheduled

from carillon.advance.advance import Advanced
from carillon.kernel.clock import from_micros

DUE = "due"
"""The tag of the one run of a deployment that we planned ourselves; runs of a schedule or of a person have none."""
SAME = timedelta(seconds=1)


def plan_next_run(name: str, advanced: Advanced) -> None:
    """Ask for a run at the next due instant; without a deployment (a run by hand) there is nobody to ask."""
    deployment_id = runtime.deployment.id
    if advanced.next_due is None or not deployment_id:
        return
    asyncio.run(ask_for_run(UUID(str(deployment_id)), name, from_micros(advanced.next_due)))


async def ask_for_run(deployment_id: UUID, name: str, at: datetime) -> None:
    """One planned run of the deployment, at this instant, however often it is asked for; one for another is forgotten.

    For an instant that has come any run that waits to begin will do.
    Prefect remembers an idempotency key for ever, cancelled runs included: the present minute is part of ours, so that
    an instant that was planned, cancelled and planned again gets its run.
    """
    async with get_client() as client:
        waiting, now = await _scheduled(client, deployment_id, None), datetime.now(UTC)
        there = [run for run in waiting if abs(_start(run) - at) < SAME or max(_start(run), at) <= now]
        for run in waiting:
            if DUE in run.tags and run not in there[:1]:
                await client.delete_flow_run(run.id)
        if there:
            return
        key = f"{name}:{at.isoformat()}:{now:%Y%m%d%H%M}"
        await client.create_flow_run_from_deployment(
            deployment_id, state=Scheduled(scheduled_time=at), idempotency_key=key, tags=[DUE]
        )


async def keep_newest_missed(deployment_id: UUID) -> int:
    """Cancel runs that were missed, but for the newest: a run asks what is due, so one of them does the work of all."""
    async with get_client() as client:
        missed = await _scheduled(client, deployment_id, FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)))
        for run in missed[:-1]:
            await client.set_flow_run_state(run.id, Cancelled(message="missed while nothing ran"), force=True)
        return max(len(missed) - 1, 0)


async def forget_scheduled(deployment_id: UUID) -> None:
    """Delete every run that a deployment has ahead or has missed."""
    async with get_client() as client:
        for run in await _scheduled(client, deployment_id, None):
            await client.delete_flow_run(run.id)


async def _scheduled(
    client: PrefectClient, deployment_id: UUID, when: FlowRunFilterExpectedStartTime | None
) -> list[FlowRun]:
    """Runs of the deployment that have not begun, the earliest first."""
    runs = await client.read_flow_runs(
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=200,
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])), expected_start_time=when
        ),
    )
    return sorted(runs, key=_start)


def _start(run: FlowRun) -> datetime:
    start = run.next_scheduled_start_time or run.expected_start_time
    assert start is not None, "a scheduled run says when it starts"
    return start

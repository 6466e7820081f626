"""Nothing long sleeps: at the end of a run the campaign's next due instant becomes its deployment's next run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from prefect import get_client, runtime
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Scheduled

from carillon.advance.advance import Advanced
from carillon.kernel.clock import from_micros


def plan_next_run(name: str, advanced: Advanced) -> None:
    """Ask for a run at the next due instant; without a deployment (a run by hand) there is nobody to ask."""
    deployment_id = runtime.deployment.id
    if advanced.next_due is None or not deployment_id:
        return
    asyncio.run(ask_for_run(UUID(str(deployment_id)), name, from_micros(advanced.next_due)))


async def ask_for_run(deployment_id: UUID, name: str, at: datetime) -> None:
    """One run of the deployment at this instant, however often it is asked for.

    Prefect remembers an idempotency key for ever, cancelled runs included: the present minute is part of ours, so that
    an instant that was planned, cancelled and planned again gets its run.
    """
    async with get_client() as client:
        ahead = await client.read_flow_runs(
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=200,
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
                expected_start_time=FlowRunFilterExpectedStartTime(after_=datetime.now(UTC)),
            ),
        )
        if any(
            run.next_scheduled_start_time and abs((run.next_scheduled_start_time - at).total_seconds()) < 1
            for run in ahead
        ):
            return
        key = f"{name}:{at.isoformat()}:{datetime.now(UTC):%Y%m%d%H%M}"
        await client.create_flow_run_from_deployment(
            deployment_id, state=Scheduled(scheduled_time=at), idempotency_key=key, tags=["due"]
        )


async def keep_newest_missed(deployment_id: UUID) -> int:
    """Cancel runs that were missed, but for the newest: a run asks what is due, so one of them does the work of all."""
    async with get_client() as client:
        missed = await client.read_flow_runs(
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=200,
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
                expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
            ),
        )
        for run in missed[1:]:
            await client.set_flow_run_state(run.id, Cancelled(message="missed while nothing ran"), force=True)
        return max(len(missed) - 1, 0)

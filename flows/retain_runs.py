"""The standing flow of every day: runs that ended long ago are forgotten, with their tasks, logs and artifacts.

Prefect only shows what happened; what happened stands in the ledger, which keeps it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import flow, get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from flows.read_secrets import settings_of_run

KEPT_DAYS, KEPT_SETTING = 30, "CARILLON_KEEP_RUNS_DAYS"
KEPT_STANDING = timedelta(days=2)
"""Standing flows run every minute and say the same each time."""
OVER = [StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED]
PAGE = 200
MOST_PAGES = 100
"""In one run: a server that was never tidied is not held up for hours."""


@flow(name="retain_runs", description="Forgets runs that ended long ago, with their artifacts.")
async def retain_runs() -> dict[str, int]:
    """Delete the runs of campaigns after CARILLON_KEEP_RUNS_DAYS (30), those of standing flows after two days."""
    kept, now = timedelta(days=int(settings_of_run().get(KEPT_SETTING, str(KEPT_DAYS)))), datetime.now(UTC)
    forgotten = {
        "campaign": await forget("campaign", now - kept),
        "standing": await forget("standing", now - min(KEPT_STANDING, kept)),
    }
    get_run_logger().info("forgotten: %(campaign)d runs of campaigns, %(standing)d of standing flows", forgotten)
    return forgotten


async def forget(kind: str, before: datetime) -> int:
    """Delete our runs of this kind that ended before then; how many they were."""
    n = 0
    async with get_client() as client:
        for _ in range(MOST_PAGES):
            runs = await _ended(client, kind, before)
            for run in runs:
                await _delete(client, run)
            n += len(runs)
            if len(runs) < PAGE:
                break
    return n


async def _ended(client: PrefectClient, kind: str, before: datetime) -> list[FlowRun]:
    return await client.read_flow_runs(
        sort=FlowRunSort.END_TIME_DESC,
        limit=PAGE,
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=["carillon", kind]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=OVER)),
            end_time=FlowRunFilterEndTime(before_=before),
        ),
    )


async def _delete(client: PrefectClient, run: FlowRun) -> None:
    """A run takes its tasks and logs with it, its artifacts not."""
    artifacts = await client.read_artifacts(
        artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id])), limit=PAGE
    )
    for artifact in artifacts:
        try:
            await client.delete_artifact(artifact.id)
        except ObjectNotFound:
            continue
    try:
        await client.delete_flow_run(run.id)
    except ObjectNotFound:
        return

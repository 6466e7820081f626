"""One deployment a campaign, and those of the standing flows; what is no longer wanted is taken away in a safe order.

Run as a program: `python -m flows.deploy_campaigns` brings the server at PREFECT_API_URL in line with the store, and
prints what it did as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.utilities.callables import parameter_schema

from carillon.advance.next_due import next_due
from carillon.advance.overdue import overdue
from carillon.assembly import open_house
from carillon.journey.ground import Ground, load_ground
from carillon.journey.occasions import next_occasion
from carillon.kernel.clock import Micros, SystemClock, from_micros
from carillon.operating.schedules import cron, is_wanted, scheduled_entries
from carillon.plan.applied import applied_names
from carillon.settings import Settings, read_settings
from flows.approve_campaign import FORM, approve_campaign
from flows.compile_campaign import run_of
from flows.plan_next_run import ask_for_run, forget_scheduled
from flows.prepare_prefect import POOL, prepare

OURS = "carillon"
STANDING = {
    "keep_time": timedelta(minutes=1), "hand_over_batches": timedelta(minutes=1), "retain_runs": timedelta(days=1)
}  # fmt: skip
ON_ONE_MACHINE = {"keep_time": timedelta(minutes=10), "hand_over_batches": None, "retain_runs": timedelta(days=1)}
"""On one SQLite file there is one machine. Its `carillon up` looks for what is overdue each minute, so that runs of
keep_time need not fill the list of runs, and its runs hand over what they reserve, so that nobody needs help."""
HELPERS = 4
"""So many runs of hand_over_batches help at once: where a hand-over takes long, each minute one more, whoever takes them."""
PAGE = 200
NOTHING_RUNS = "--nothing-runs"
"""Said by `carillon up` before its worker starts, where nobody else works on this store."""
HANDED_ON = (
    "CARILLON_ENV", "CARILLON_WORKSPACE", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY",
    "PREFECT_LOGGING_EXTRA_LOGGERS",
)  # fmt: skip
"""Settings that a run takes over from here, since it must find the same store and files. They stand in the deployment
for everybody to read, so no secret is among them: those a worker has in its environment, or the server in blocks."""


def main() -> None:
    """Prepare the server, deploy, and print what was done."""
    settings = read_settings()
    prepare()
    if NOTHING_RUNS in sys.argv:
        _end_all_lost(settings)
    print(json.dumps(asyncio.run(deploy_all(settings))))


def _end_all_lost(settings: Settings) -> None:
    """Runs that a killed machine left under way hold their deployments' slots: here nobody can be at work on them."""
    from flows.keep_time import end_lost

    store = open_house(settings)
    try:
        asyncio.run(end_lost(store, timedelta(0)))
    finally:
        store.close()


async def deploy_all(settings: Settings) -> dict[str, list[str]]:
    """Deploy every running campaign and the standing flows; delete deployments of campaigns that are over.

    What is due already runs at once.
    """
    store = open_house(settings)
    now = SystemClock().now()
    with store.read() as connection:
        names = applied_names(connection)
    grounds = {name: load_ground(store, name, now) for name in names}
    wanted = {name: g for name, g in grounds.items() if is_wanted(g)}
    late = overdue(store, now, now)
    async with get_client() as client:
        for name, ground in wanted.items():
            deployment_id = await _deploy_campaign(client, settings, ground)
            due = now if name in late else next_due(ground, now)
            if due is not None and ground.applied.is_running and due not in _due_by_schedule(ground):
                await ask_for_run(deployment_id, name, from_micros(due))
        standing = STANDING if store.dialect == "postgresql" else ON_ONE_MACHINE
        for name, every in standing.items():
            await _deploy_standing(client, settings, name, every)
        await _deploy_form(client, settings, sorted(wanted))
    over = [d for d in await our_deployments() if d.name not in wanted]
    removed = [d.name for d in over if await remove(d)]
    store.close()
    return {"deployed": sorted(wanted), "removed": removed}


async def our_deployments() -> list[DeploymentResponse]:
    """The deployments of campaigns, standing flows aside."""
    found: list[DeploymentResponse] = []
    async with get_client() as client:
        while True:
            page = await client.read_deployments(
                deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS, "campaign"])),
                limit=PAGE,
                offset=len(found),
            )
            found += page
            if len(page) < PAGE:
                return found


async def remove(deployment: DeploymentResponse) -> bool:
    """Pause, forget what is scheduled, and delete where nothing runs: a deleted deployment's run could never end."""
    async with get_client() as client:
        await client.pause_deployment(deployment.id)
        await forget_scheduled(deployment.id)
        if await _is_running(client, deployment.id):
            return False
        await client.delete_deployment(deployment.id)
        return True


async def _is_running(client: PrefectClient, deployment_id: UUID) -> bool:
    under_way = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    runs = await client.read_flow_runs(
        limit=1,
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=under_way)),
    )
    return bool(runs)


async def _deploy_campaign(client: PrefectClient, settings: Settings, ground: Ground) -> UUID:
    plan, name = ground.applied.plan, ground.applied.name
    flow_id = await client.create_flow_from_name(name)
    schedules = [
        DeploymentScheduleCreate(schedule=CronSchedule(cron=cron(entry), timezone=ground.rules.timezone), active=True)
        for entry in scheduled_entries(ground)
    ]
    return await client.create_deployment(
        flow_id=flow_id,
        name=name,
        entrypoint=f"flows.compile_campaign.{name}",
        description=plan.title,
        version=ground.applied.meaning[:12],
        parameter_openapi_schema=parameter_schema(run_of(name)).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        schedules=schedules,
        paused=not ground.applied.is_running,
        tags=[OURS, "campaign", plan.topic],
        **_where(settings),
    )


def _due_by_schedule(ground: Ground) -> set[Micros | None]:
    return {next_occasion(ground, entry) for entry in scheduled_entries(ground)}


async def _deploy_standing(client: PrefectClient, settings: Settings, name: str, every: timedelta | None) -> UUID:
    flow_id = await client.create_flow_from_name(name)
    schedules = [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=every), active=True)] if every else []
    return await client.create_deployment(
        flow_id=flow_id,
        name=name,
        entrypoint=f"flows.{name}.{name}",
        schedules=schedules,
        tags=[OURS, "standing"],
        **_where(settings) | {"concurrency_limit": HELPERS if name == "hand_over_batches" else 1},
    )


async def _deploy_form(client: PrefectClient, settings: Settings, campaigns: list[str]) -> UUID:
    """The form for a person's yes: a choice of campaigns, and any number at once."""
    form = parameter_schema(approve_campaign).model_dump_for_openapi()
    for name, (title, meaning) in FORM.items():
        form["properties"][name] |= {"title": title, "description": meaning}
    if campaigns:
        form["properties"]["campaign"]["enum"] = campaigns
    where = _where(settings)
    del where["concurrency_limit"], where["concurrency_options"]
    return await client.create_deployment(
        flow_id=await client.create_flow_from_name("approve_campaign"),
        name="approve_campaign",
        entrypoint="flows.approve_campaign.approve_campaign",
        description=approve_campaign.description,
        parameter_openapi_schema=form,
        enforce_parameter_schema=True,
        tags=[OURS, "standing"],
        **where,
    )


def _where(settings: Settings) -> dict[str, Any]:
    """Where and how runs of ours go: one at a time, since a run asks our tables what is due and a second would find
    nothing; in the folder of this workspace."""
    environment = {name: os.environ[name] for name in HANDED_ON if os.environ.get(name)}
    environment["CARILLON_DATABASE_URL"] = settings.database_url
    if sa.make_url(settings.database_url).password is not None:
        del environment["CARILLON_DATABASE_URL"]
    return {
        "work_pool_name": POOL,
        "path": str(settings.root),
        "concurrency_limit": 1,
        "concurrency_options": ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        "job_variables": {"working_dir": str(settings.root), "env": environment},
        # Without this step Prefect copies the whole folder for each run, store and all, and the run works on the copy.
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(settings.root)}}],
    }


if __name__ == "__main__":
    main()

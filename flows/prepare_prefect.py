"""The things of ours that every Prefect server holds once.

Run as a program it prepares the server at PREFECT_API_URL: work pool, heartbeat automation, standing deployments.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from prefect import get_client
from prefect.automations import Automation
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists

POOL = "carillon"
HEARTBEAT_AUTOMATION = "carillon: runs without heartbeat are Crashed"
_RUN = "prefect.flow-run."
_SIGNS_OF_LIFE = ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed", "Suspended", "TimedOut")


async def ensure_pool() -> None:
    """The process pool that all our deployments use."""
    async with get_client() as client:
        try:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            return


async def ensure_automation() -> None:
    """A run that has sent no heartbeat for 90 seconds is Crashed, which frees its deployment's slot."""
    automation = Automation(
        name=HEARTBEAT_AUTOMATION,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={_RUN + "heartbeat"},
            expect={_RUN + sign for sign in _SIGNS_OF_LIFE},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=90),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat: the process is gone")],
    )
    try:
        automation.id = (await Automation.aread(name=automation.name)).id
        await automation.aupdate()
    except ValueError:
        await automation.acreate()


async def _prepare() -> None:
    await ensure_pool()
    await ensure_automation()


def prepare() -> None:
    """Make or update everything; may be repeated."""
    asyncio.run(_prepare())


if __name__ == "__main__":
    prepare()

"""The form by which a person says yes in the Prefect UI: a deployment of its own, whose parameters are the form.

What waits for the yes is a row of the store, not a run: while a person thinks no process lives, no slot is held, and a
server that is killed has nothing to forget.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import flow, get_run_logger
from pydantic import Field

from carillon.advance.approve import Approved, approve
from carillon.assembly import open_house
from carillon.kernel.clock import SystemClock
from carillon.operating.restored import mark_of
from carillon.store.engine import Store
from carillon.store.zones import ready_for_zones
from flows.plan_next_run import ask_for_run
from flows.read_secrets import settings_of_run

Campaign = Annotated[str, Field(title="Campaign", description="It waits for a yes; its report shows what it would do.")]
Address = Annotated[
    str,
    Field(title="Your address", description="One of those whom `approval: {by: …}` names. It is kept in the audit."),
]
Why = Annotated[str, Field(title="Why", description="Kept in the audit.")]


@flow(
    name="approve_campaign",
    description="Say yes to what waits for one: to what a campaign means, to a wave of it, to what its brake held.",
    flow_run_name="yes to {campaign}",
)
def approve_campaign(campaign: Campaign, your_address: Address, why: Why = "") -> dict[str, Any]:
    """Write the yes, and let the campaign go on at once."""
    store = open_house(settings_of_run())
    try:
        approved = _approve(store, campaign, your_address.strip(), why)
    finally:
        store.close()
    get_run_logger().info("%s: %s", campaign, approved.sentence)
    asyncio.run(_go_on(campaign))
    return {"campaign": campaign, "waves": list(approved.waves), "was_held": approved.held}


def _approve(store: Store, campaign: str, who: str, why: str) -> Approved:
    with store.read() as connection:
        if mark_of(connection) is not None:
            raise ValueError("this store was restored from a backup: carillon resume --after-restore lets it go on")
    ready_for_zones(store)
    return approve(store, campaign, who=who, why=why or "form in the Prefect UI", at=SystemClock().now())


async def _go_on(campaign: str) -> None:
    from flows.deploy_campaigns import our_deployments  # it deploys this flow, too

    for deployment in await our_deployments():
        if deployment.name == campaign:
            await ask_for_run(deployment.id, campaign, datetime.now(UTC))

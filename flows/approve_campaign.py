"""The form by which a person says yes in the Prefect UI: a deployment of its own, whose parameters are the form.

What waits for the yes is a row of the store, not a run: while a person thinks no process lives, no slot is held, and a
server that is killed has nothing to forget.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Failed

from carillon.advance.approve import Approved, NotAsked, approve
from carillon.assembly import open_house
from carillon.kernel.clock import SystemClock
from carillon.operating.restored import mark_of
from carillon.store.engine import Store
from carillon.store.zones import ready_for_zones
from flows.plan_next_run import ask_for_run
from flows.read_secrets import settings_of_run

FORM = {
    "campaign": ("Campaign", "What waits for a yes. Its latest report shows what it is about."),
    "your_address": ("Your address", "One of those whom `approval: {by: …}` names. It is kept in the audit."),
    "why": ("Why", "Kept in the audit."),
}
"""Title and meaning of each field, as the UI shows them."""


@flow(
    name="approve_campaign",
    description="Say yes to what waits for one: to what a campaign means, to a wave of it, to what its brake held.",
    flow_run_name="yes to {campaign}",
)
def approve_campaign(campaign: str, your_address: str, why: str = "") -> dict[str, Any] | State[None]:
    """Write the yes, and let the campaign go on at once; a yes that is not taken is a failed run that says why."""
    store = open_house(settings_of_run())
    try:
        approved = _approve(store, campaign, your_address.strip(), why)
    except (LookupError, NotAsked, StillRestored) as refused:
        return Failed(message=str(refused.args[0]))
    finally:
        store.close()
    get_run_logger().info("%s: %s", campaign, approved.sentence)
    asyncio.run(_go_on(campaign))
    return {"campaign": campaign, "waves": list(approved.waves), "was_held": approved.held}


class StillRestored(Exception):
    """Nobody has looked at what a restore left unsure."""


def _approve(store: Store, campaign: str, who: str, why: str) -> Approved:
    with store.read() as connection:
        if mark_of(connection) is not None:
            raise StillRestored("restored from a backup: carillon resume --after-restore comes first")
    ready_for_zones(store)
    return approve(store, campaign, who=who, why=why or "form in the Prefect UI", at=SystemClock().now())


async def _go_on(campaign: str) -> None:
    from flows.deploy_campaigns import our_deployments  # it deploys this flow, too

    for deployment in await our_deployments():
        if deployment.name == campaign:
            await ask_for_run(deployment.id, campaign, datetime.now(UTC))

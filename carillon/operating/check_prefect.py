"""What `doctor` asks of Prefect: does it know what the store has applied, as it was applied, and does somebody run it?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from carillon.journey.ground import Ground, load_ground
from carillon.kernel.clock import Micros
from carillon.kernel.counting import counted
from carillon.operating.check import Check
from carillon.operating.schedules import cron, is_wanted, scheduled_entries
from carillon.plan.applied import applied_names
from carillon.store.engine import Store

PATIENCE_S = 5.0
PAGE = 200
POOL = "carillon"
STANDING = ("approve_campaign", "hand_over_batches", "keep_time", "retain_runs")
"""Deployed beside the campaigns."""
MEND = "carillon apply brings them in line (so does carillon up)"
START = "carillon up, or: prefect worker start --pool carillon --type process"


def check_prefect(store: Store, api_url: str | None, now: Micros) -> Iterator[Check]:
    """Drift between store and deployments, and whether a worker takes runs."""
    if api_url is None:
        do = "carillon up, or set PREFECT_API_URL"
        yield Check("warn", "Prefect", "no server answers: schedules stand still", do)
        return
    with store.read() as connection:
        names = applied_names(connection)
    grounds = {name: load_ground(store, name, now) for name in names}
    try:
        deployed = {
            one["name"]: one for one in _all(api_url, "deployments", {"deployments": {"tags": {"all_": [POOL]}}})
        }
        at_work = _workers(api_url)
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as fault:
        says = f"{api_url} answers, but not with deployments: {fault}"
        yield Check("bad", "Prefect", says, "look at the server's log")
        return
    found = list(drift(grounds, deployed))
    for line in found:
        yield Check("warn", "deployments", line, MEND)
    if not found:
        yield Check(
            "ok", "deployments", f"{counted(sum(map(is_wanted, grounds.values())), 'campaign')} as applied ({api_url})"
        )
    if at_work:
        yield Check("ok", "workers", f"{at_work} take runs of the pool {POOL}")
    else:
        yield Check(
            "warn", "workers", f"none takes runs of the pool {POOL}: they are planned and nobody runs them", START
        )


def drift(grounds: dict[str, Ground], deployed: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Where deployments differ from what is applied, a line each."""
    wanted = {name: ground for name, ground in grounds.items() if is_wanted(ground)}
    for name in sorted({*wanted, *STANDING} - set(deployed)):
        yield f"{name} is not deployed"
    for name in sorted(set(deployed) - set(wanted) - set(STANDING)):
        yield f"{name} is deployed and {'is over' if name in grounds else 'was never applied'}"
    for name in sorted(set(wanted) & set(deployed)):
        yield from _changed(wanted[name], deployed[name])


def _changed(ground: Ground, found: dict[str, Any]) -> Iterator[str]:
    name, meaning, runs = ground.applied.name, ground.applied.meaning[:12], ground.applied.is_running
    if found["version"] != meaning:
        yield f"{name} is deployed as {found['version']}, applied as {meaning}"
    if bool(found["paused"]) is runs:
        yield f"{name} {'runs, and its deployment is paused' if runs else 'is paused, and its deployment is not'}"
    told = {(cron(entry), ground.rules.timezone, True) for entry in scheduled_entries(ground)}
    there = {_schedule(one) for one in found["schedules"]}
    if told != there:
        yield f"{name} is scheduled {_said(there)}, applied as {_said(told)}"


Scheduled = tuple[str, str, bool]
"""Cron, zone, and whether it is switched on."""


def _schedule(found: dict[str, Any]) -> Scheduled:
    its = found["schedule"]
    return str(its.get("cron") or its), str(its.get("timezone")), bool(found["active"])


def _said(schedules: set[Scheduled]) -> str:
    told = [f"{hours} {zone}{'' if is_on else ' (switched off)'}" for hours, zone, is_on in sorted(schedules)]
    return ", ".join(told) or "never"


def _workers(api_url: str) -> int:
    """How many workers of our pool have been heard of lately."""
    answer = httpx.post(f"{api_url}/work_pools/{POOL}/workers/filter", json={}, timeout=PATIENCE_S, trust_env=False)
    if answer.status_code == 404:
        return 0
    return sum(one["status"] == "ONLINE" for one in answer.raise_for_status().json())


def _all(api_url: str, what: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        said = {**wanted, "limit": PAGE, "offset": len(found)}
        answer = httpx.post(f"{api_url}/{what}/filter", json=said, timeout=PATIENCE_S, trust_env=False)
        page = answer.raise_for_status().json()
        found += page
        if len(page) < PAGE:
            return found

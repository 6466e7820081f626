"""Planning a campaign's next run over Prefect's API, for a process that must not load Prefect."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from carillon.advance.advance import Advanced
from carillon.kernel.clock import from_micros

log = logging.getLogger(__name__)

DUE = "due"
"""The tag of planned runs, as `flows/plan_next_run.py` gives it."""
SAME = timedelta(seconds=1)
TIDIED_AFTER = timedelta(seconds=200)
"""A little more than `keep_time` gives a run in which nothing moves."""


@dataclass(slots=True)
class Planner:
    """Keeps each deployment's planned run at the instant that the newest advance named, with no request where it is."""

    api_url: str | None = None
    """None until the server answers: deploying then plans every campaign."""
    _planned: dict[str, datetime] = field(default_factory=dict)

    def rest(self) -> None:
        """Plan no more: the server is about to be stopped, and the next one is told everything when it is deployed to."""
        self.api_url = None

    def __call__(self, advanced: Advanced) -> None:
        if self.api_url is None or advanced.next_due is None:
            return
        at = from_micros(advanced.next_due)
        if self._planned.get(advanced.campaign) == at:
            return
        try:
            _plan(self.api_url, advanced.campaign, at)
        except httpx.HTTPError as fault:
            # Nothing is lost: what no run does in time, keep_time does.
            log.warning("the next run of %s could not be planned: %s", advanced.campaign, fault)
        else:
            self._planned[advanced.campaign] = at


def plan_tidying(api_url: str) -> bool:
    """Ask for a run of `keep_time` some minutes from now: it ends what a killed child of ours has left under way.

    False where the server does not answer yet.
    """
    state = _scheduled(datetime.now(UTC) + TIDIED_AFTER)
    try:
        with httpx.Client(base_url=api_url, timeout=5, trust_env=False) as http:
            deployment = http.get("/deployments/name/keep_time/keep_time").raise_for_status().json()["id"]
            http.post(f"/deployments/{deployment}/create_flow_run", json={"state": state}).raise_for_status()
    except httpx.HTTPError:
        return False
    return True


def _plan(api_url: str, campaign: str, at: datetime) -> None:
    with httpx.Client(base_url=api_url, timeout=10, trust_env=False) as http:
        found = http.get(f"/deployments/name/{campaign}/{campaign}")
        if found.status_code == httpx.codes.NOT_FOUND:
            return
        deployment = found.raise_for_status().json()["id"]
        waiting = _waiting(http, deployment)
        there = [run for run in waiting if abs(_start(run) - at) < SAME]
        for run in waiting:
            if DUE in run["tags"] and run not in there[:1]:
                http.delete(f"/flow_runs/{run['id']}").raise_for_status()
        if not there:
            http.post(f"/deployments/{deployment}/create_flow_run", json=_run(campaign, at)).raise_for_status()


def _waiting(http: httpx.Client, deployment: str) -> list[dict[str, Any]]:
    wanted = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    said = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": wanted, "limit": 200}
    found: list[dict[str, Any]] = http.post("/flow_runs/filter", json=said).raise_for_status().json()
    return found


def _run(campaign: str, at: datetime) -> dict[str, Any]:
    # The present minute is part of the key: Prefect remembers keys for ever, cancelled runs included.
    return {
        "state": _scheduled(at),
        "tags": [DUE],
        "idempotency_key": f"{campaign}:{at.isoformat()}:{datetime.now(UTC):%Y%m%d%H%M}",
    }


def _scheduled(at: datetime) -> dict[str, Any]:
    return {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}


def _start(run: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(run["next_scheduled_start_time"] or run["expected_start_time"])

"""What doctor sees of a real Prefect server, each thing broken on its own; and the alarm when feedback falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from carillon.kernel.clock import HOUR, SystemClock, VirtualClock, from_micros, to_micros
from carillon.operating.check_prefect import check_prefect
from carillon.operating.silence import PATIENCE
from carillon.plan.operate import set_operator_state
from carillon.settings import read_settings
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.flows.server import Server, serving, soon
from tests.shop import Shop

pytestmark = pytest.mark.timeout(300)

WEEKLY = "title: Weekly\naudience: {reachable: email}\nentry: {every: monday, at: 10:00}\njourney: [{email: hello}]\n"
DAILY = "title: Daily\naudience: {reachable: email}\nentry: {every: day, at: 10:00}\njourney: [{email: hello}]\n"


@pytest.fixture(scope="module")
def server(prefect_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("prefect"), prefect_template) as running:
        from flows.prepare_prefect import prepare

        prepare()
        yield running


@pytest.fixture
def shop(server: Server, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARILLON_DATABASE_URL", sqlite_store.url)
    return Shop(sqlite_store, tmp_path, VirtualClock(to_micros(datetime.now(UTC))))


def deploy() -> None:
    from flows.deploy_campaigns import deploy_all

    asyncio.run(deploy_all(read_settings()))


def seen(server: Server, shop: Shop) -> set[str]:
    """What doctor says of deployments that differ from what is applied."""
    checks = check_prefect(shop.store, server.api_url, shop.clock.now())
    return {check.says for check in checks if check.subject == "deployments" and check.level != "ok"}


def change(server: Server, name: str, **fields: Any) -> None:
    """What somebody does in Prefect's UI."""
    found = server.deployment(name)
    assert found is not None
    tell("PATCH", f"{server.api_url}/deployments/{found['id']}", fields)


def tell(method: str, url: str, said: Any = None) -> None:
    """A change over the API; the server's own SQLite may be busy for a moment, which it says with 503."""
    answer = soon(lambda: _unless_busy(httpx.request(method, url, json=said, timeout=30, trust_env=False)))
    assert answer is not None
    answer.raise_for_status()


def _unless_busy(answer: httpx.Response) -> httpx.Response | None:
    return None if answer.status_code == 503 else answer


def test_each_drift_of_deployments_is_seen_and_apply_mends_it(server: Server, shop: Shop) -> None:
    """Missing, changed, switched off, paused, over, never applied; nothing at all where they agree."""
    for name, yaml in (("weekly", WEEKLY), ("daily", DAILY), ("third", DAILY.replace("hello", "third"))):
        shop.campaign(name, yaml)
    shop.apply()
    deploy()
    assert seen(server, shop) == set()

    found = server.deployment("weekly")
    assert found is not None
    tell("DELETE", f"{server.api_url}/deployments/{found['id']}")
    assert seen(server, shop) == {"weekly is not deployed"}
    deploy()

    shop.campaign("weekly", WEEKLY.replace("monday", "tuesday").replace("hello", "other"))
    shop.apply()
    is_now, was = (line.split() for line in sorted(seen(server, shop), key=len))
    assert (is_now[:4], was[:4]) == (["weekly", "is", "deployed", "as"], ["weekly", "is", "scheduled", "0"])
    deploy()
    assert seen(server, shop) == set()

    for schedule in (server.deployment("daily") or {})["schedules"]:
        url = f"{server.api_url}/deployments/{schedule['deployment_id']}/schedules/{schedule['id']}"
        tell("PATCH", url, {"active": False})
    assert seen(server, shop) == {
        "daily is scheduled 0 10 * * * Europe/Berlin (switched off), applied as 0 10 * * * Europe/Berlin"
    }
    deploy()

    change(server, "daily", paused=True)
    assert seen(server, shop) == {"daily runs, and its deployment is paused"}
    deploy()
    set_operator_state(shop.store, ["daily"], "paused", who="ann", at=shop.clock.now())
    assert seen(server, shop) == {"daily is paused, and its deployment is not"}
    deploy()

    set_operator_state(shop.store, ["third"], "stopped", who="ann", at=shop.clock.now())
    assert seen(server, shop) == {"third is deployed and is over"}
    deploy()
    assert seen(server, shop) == set()

    with shop.store.write("core") as connection:
        connection.execute(t.campaign.update().where(t.campaign.c.name == "weekly").values(name="renamed"))
    assert {"renamed is not deployed", "weekly is deployed and was never applied"} <= seen(server, shop)


def test_a_pool_that_no_worker_serves_is_told(server: Server, shop: Shop) -> None:
    """Everything is deployed and planned, and nothing runs: the likeliest fault of all. A worker's heartbeat ends it."""
    shop.campaign("weekly", WEEKLY)
    shop.apply()

    def workers() -> list[tuple[str, str]]:
        checks = check_prefect(shop.store, server.api_url, shop.clock.now())
        return [(check.level, check.says.partition(" ")[0]) for check in checks if check.subject == "workers"]

    assert workers() == [("warn", "none")]
    url = f"{server.api_url}/work_pools/carillon/workers/heartbeat"
    tell("POST", url, {"name": "one", "heartbeat_interval_seconds": 30})
    assert workers() == [("ok", "1")]


def test_silence_is_an_event_that_an_automation_can_act_upon(server: Server, shop: Shop) -> None:
    """Three mails went out hours ago and nothing came back: one event an hour, with numbers and no names."""
    from flows.keep_time import SILENT, keep_time

    handed_at = SystemClock().now() - PATIENCE - HOUR
    shop.clock = VirtualClock(handed_at - HOUR)
    shop.people(3)
    local = from_micros(handed_at).astimezone(ZoneInfo("Europe/Berlin"))
    shop.campaign("quiet", DAILY.replace("every: day, at: 10:00", f"at: {local:%Y-%m-%d %H:%M}"))
    shop.apply()
    shop.run("quiet", handed_at)
    assert shop.inbox == ["p0001", "p0002", "p0003"]
    keep_time()
    keep_time()
    found = soon(lambda: events(server, SILENT))
    assert [one["payload"]["people"] for one in found] == [3]
    assert [one["resource"]["prefect.resource.id"] for one in found] == ["carillon.feedback"]
    told = [line for run in server.runs("keep_time") for line in server.lines(run["id"]) if "has reported" in line]
    assert [line.partition(" since")[0] for line in told] == [
        "3 messages were handed over and no provider has reported about any of them"
    ]


def events(server: Server, name: str) -> list[dict[str, Any]]:
    said = {"filter": {"event": {"name": [name]}}, "limit": 50}
    answer = httpx.post(f"{server.api_url}/events/filter", json=said, timeout=30, trust_env=False)
    return list(answer.raise_for_status().json()["events"])

"""Campaigns as Prefect shows them: deployments, planned runs, tasks, artifacts; and what a broken machine leaves there.

All on one real server, in one module, so that a run of the tests starts only one.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from carillon.kernel.clock import VirtualClock, to_micros
from carillon.settings import read_settings
from carillon.store.engine import Store
from tests.flows.server import Server, serving, soon
from tests.shop import Shop

ROOT = Path(__file__).parents[2]
BERLIN = ZoneInfo("Europe/Berlin")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("prefect")) as running:
        from flows.prepare_prefect import prepare

        prepare()
        yield running


@pytest.fixture
def shop(server: Server, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workspace and its store, in which the flows of this test work; it is now by the machine's clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARILLON_DATABASE_URL", sqlite_store.url)
    return Shop(sqlite_store, tmp_path, VirtualClock(to_micros(datetime.now(UTC))))


def deploy() -> dict[str, list[str]]:
    from flows.deploy_campaigns import deploy_all

    return asyncio.run(deploy_all(read_settings()))


def local(at: datetime) -> str:
    """An instant as the workspace's YAML says it."""
    return f"{at.astimezone(BERLIN):%Y-%m-%d %H:%M}"


def in_minutes(n: int) -> datetime:
    return (datetime.now(UTC) + timedelta(minutes=n)).replace(second=0, microsecond=0)


WEEKLY = "title: Weekly\naudience: {reachable: email}\nentry: {every: monday, at: 10:00}\njourney: [{email: hello}]\n"




def once(at: datetime, more: str = "") -> str:
    """A one-off with a second letter two days later."""
    entry = f"entry: {{at: {local(at)}, if_late: skip after 2h}}"
    steps = "journey: [{email: sale}, {wait: 2d}, {email: again}]"
    return f"title: Sale\naudience: {{reachable: email}}\n{entry}\n{more}{steps}\n"


def plan_by_hand(name: str, at: datetime) -> str:
    """What a person does in the UI: a run of the deployment at an instant; its id."""
    from prefect import get_client
    from prefect.states import Scheduled

    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"{name}/{name}")
        return str(client.create_flow_run_from_deployment(deployment.id, state=Scheduled(scheduled_time=at)).id)


def set_state(run_id: str, state: str) -> None:
    """Say of a run what a process would say."""
    from prefect import get_client
    from prefect.client.schemas.objects import State, StateType

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run_id), State(type=StateType(state), name=state.title()), force=True)


# ------------------------------------------------------------------------------------------------------- deployments


def test_a_campaign_is_a_deployment(server: Server, shop: Shop) -> None:
    """Schedule on the shop's clock, tags, one run at a time, a form, and nothing secret."""
    shop.campaign("weekly", WEEKLY)
    shop.apply()
    assert deploy() == {"deployed": ["weekly"], "removed": []}
    found = server.deployment("weekly")
    assert found is not None
    assert [s["schedule"] for s in found["schedules"]] == [
        {"cron": "0 10 * * 1", "timezone": "Europe/Berlin", "day_or": True}
    ]
    assert found["tags"] == ["carillon", "campaign", "offers"]
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert found["description"] == "Weekly"
    assert list(found["parameter_openapi_schema"]["properties"]) == ["now"]
    assert found["job_variables"] == {
        "working_dir": str(shop.folder),
        "env": {
            "CARILLON_DATABASE_URL": shop.store.url,
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "carillon",
        },
    }


def test_a_schedule_makes_runs(server: Server, shop: Shop) -> None:
    """The versions we pin do schedule: with others Prefect starts, is healthy, and never makes a run."""
    shop.campaign("weekly", WEEKLY)
    shop.apply()
    deploy()
    made = soon(lambda: server.by_schedule("weekly"))
    assert len(made) >= 3
    assert {local(at).partition(" ")[2] for at in made} == {"10:00"}
    assert {at.weekday() for at in made} == {0}
    assert server.planned("weekly") == []


def test_the_next_due_instant_is_planned_once(server: Server, shop: Shop) -> None:
    """Deploying again changes nothing; a campaign that was moved has its run at the new instant only."""
    first, second = in_minutes(90), in_minutes(120)
    shop.campaign("one_off", once(first))
    shop.apply()
    deploy()
    before, runs = server.deployment("one_off"), server.runs("one_off")
    deploy()
    assert server.planned("one_off") == [first]
    assert [run["id"] for run in server.runs("one_off")] == [run["id"] for run in runs]
    after = server.deployment("one_off")
    assert before is not None
    assert after is not None
    assert {k: v for k, v in after.items() if k != "updated"} == {k: v for k, v in before.items() if k != "updated"}
    shop.campaign("one_off", once(second))
    shop.apply()
    deploy()
    assert server.planned("one_off") == [second]
    shop.campaign("one_off", once(first))
    shop.apply()
    deploy()
    assert server.planned("one_off") == [first]


def test_another_day_moves_the_schedule_and_leaves_what_a_person_planned(server: Server, shop: Shop) -> None:
    """From Monday to Tuesday: no Monday is left, a run that somebody asked for in the UI is."""
    shop.campaign("moving", WEEKLY)
    shop.apply()
    deploy()
    soon(lambda: server.by_schedule("moving"))
    by_hand = in_minutes(45)
    plan_by_hand("moving", by_hand)
    shop.campaign("moving", WEEKLY.replace("monday", "tuesday"))
    shop.apply()
    deploy()
    assert soon(lambda: {at.weekday() for at in server.by_schedule("moving")} == {1})
    assert server.planned("moving") == [by_hand]


def test_a_campaign_that_is_over_loses_its_deployment_when_nothing_runs(server: Server, shop: Shop) -> None:
    """While a run is under way the deployment stays, paused and with nothing ahead: without it the run could never end."""
    shop.campaign("over", once(in_minutes(90)))
    shop.apply()
    deploy()
    run = plan_by_hand("over", datetime.now(UTC))
    set_state(run, "RUNNING")
    shop.campaign("over", once(in_minutes(90), "state: ended\n"))
    shop.apply()
    assert deploy() == {"deployed": [], "removed": []}
    left = server.deployment("over")
    assert left is not None
    assert left["paused"]
    assert server.runs("over", "SCHEDULED") == []
    set_state(run, "CRASHED")
    assert deploy() == {"deployed": [], "removed": ["over"]}
    assert server.deployment("over") is None


def test_people_under_way_keep_an_ended_campaigns_deployment(server: Server, shop: Shop) -> None:
    """They finish their journey: the deployment has their next instant as its run."""
    at = in_minutes(-5)
    shop.people(3)
    shop.campaign("ending", once(at))
    shop.apply()
    shop.run("ending")
    shop.campaign("ending", once(at, "state: ended\n"))
    shop.apply()
    assert deploy() == {"deployed": ["ending"], "removed": []}
    assert [local(run) for run in server.planned("ending")] == [local(shop_due(shop))]


def shop_due(shop: Shop) -> datetime:
    due = shop.due("p0001")
    assert due is not None
    return datetime.fromisoformat(due).replace(tzinfo=UTC)


# -------------------------------------------------------------------------------------------------------------- runs


def test_a_run_tells_what_it_did(server: Server, shop: Shop) -> None:
    """Tasks and lines in the marketer's words with counts, a report, a progress bar; and nobody by name."""
    from flows.compile_campaign import campaign_flow

    at = in_minutes(-5)
    shop.people(40)
    shop.contact("no_yes", consent=())
    shop.contact("texted", phone="+447911123456")
    shop.campaign("told", once(at, "holdout: 10%\n"))
    shop.apply()
    done = campaign_flow("told")(now=at.isoformat())
    assert done["campaign"] == "told"
    (run,) = server.runs("told")
    assert run["state_type"] == "COMPLETED"
    assert run["name"] == f"told {at.astimezone(BERLIN):%a %-d %b %Y %H:%M}"
    assert soon(lambda: len(server.tasks(run["id"])) >= 4) and server.tasks(run["id"]) == []
    lines = soon(lambda: server.lines(run["id"]))
    assert lines == []

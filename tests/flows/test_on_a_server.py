"""Campaigns as Prefect shows them: deployments, planned runs, tasks, artifacts; and what a broken machine leaves there.

All on one real server, in one module, so that a run of the tests starts only one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest

from carillon.advance.lease import lease
from carillon.kernel.clock import SystemClock, VirtualClock, to_micros
from carillon.settings import read_settings
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.flows.server import Server, serving, soon
from tests.shop import Shop

ROOT = Path(__file__).parents[2]
BERLIN = ZoneInfo("Europe/Berlin")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server(prefect_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("prefect"), prefect_template) as running:
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
    # Not a copy of the folder, which is what Prefect makes where nothing is said.
    assert found["pull_steps"] == [{"prefect.deployments.steps.set_working_directory": {"directory": str(shop.folder)}}]


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
    (run,) = server.runs("told")
    assert run["state_type"] == "COMPLETED"
    assert run["name"] == f"told {at.astimezone(BERLIN):%a %-d %b %Y %H:%M}"
    read = f"read what came in: {shop.count(t.event)} events"
    told = [read, "take people in: 41 entered", f"email.sale: {GOT} ready, {HELD} holdout"]
    tasks = [*told, f"email.sale: {GOT} to hand over", "go on: 41 from email.sale"]
    assert soon(lambda: len(server.tasks(run["id"])) == 5)
    assert server.tasks(run["id"]) == tasks
    lines = [*told, f"email.sale: {GOT} accepted", tasks[4]]
    assert done == {"campaign": "told", "stages": lines}
    assert soon(lambda: set(lines) <= set(server.lines(run["id"])))
    found = {a["key"]: a for a in server.artifacts(run["id"])}
    assert sorted(found, key=str) == [None, "report-told"]
    assert (found[None]["type"], found[None]["data"]) == ("progress", 100.0)
    assert found["report-told"]["data"].startswith("# Sale")
    assert f"{GOT}" in found["report-told"]["data"]


HELD, GOT = 5, 36
"""Of 41 people 10 % by their buckets, which the campaign's name decides."""


def test_a_run_is_not_shown_as_done_while_people_wait(
    server: Server, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half are taken, the connector is held in between: state Waiting with the number, a bar at what is settled, a next run."""
    from carillon.delivery.holds import hold
    from flows.compile_campaign import campaign_flow

    at = in_minutes(-5)
    shop.people(4)
    shop.campaign("patient", once(at))
    shop.apply()
    with shop.store.write("ledger") as connection:
        hold(connection, "sandbox.email", "401 revoked", 0)
    said = campaign_flow("patient")(now=at.isoformat())
    (run,) = server.runs("patient")
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Waiting")
    assert run["state"]["message"] == "4 people still wait for theirs"
    assert (said["campaign"], said["waiting"]) == ("patient", 4)
    bars = [a["data"] for a in server.artifacts(run["id"]) if a["type"] == "progress"]
    assert set(bars) <= {0.0}
    with shop.store.write("ledger") as connection:
        connection.execute(t.pace.update().values(held_reason=None))
    campaign_flow("patient")(now=at.isoformat())
    assert [one["state_name"] for one in server.runs("patient")] == ["Waiting", "Completed"]


def test_a_run_with_nothing_to_do_says_so(server: Server, shop: Shop) -> None:
    """One line, and the report as it stands."""
    from flows.compile_campaign import campaign_flow

    shop.people(2)
    shop.campaign("early", once(in_minutes(90)))
    shop.apply()
    assert campaign_flow("early")() == {"campaign": "early", "stages": ["read what came in: 4 events"]}
    assert campaign_flow("early")() == {"campaign": "early", "stages": []}
    run = server.runs("early")[-1]
    assert soon(lambda: "Nothing was due." in server.lines(run["id"]))
    assert server.tasks(run["id"]) == []


def test_a_run_beside_another_leaves_it_alone(server: Server, shop: Shop) -> None:
    """The engine's own lease decides, not Prefect's slot: the second run completes and says why it did nothing."""
    from flows.compile_campaign import campaign_flow

    shop.campaign("twice", once(in_minutes(-5)))
    shop.apply()
    with lease(shop.store, "advance:twice", SystemClock()):
        assert campaign_flow("twice")() == {"campaign": "twice", "already_running": True}
    (run,) = server.runs("twice")
    assert run["state_type"] == "COMPLETED"
    assert soon(lambda: "twice is advanced by another process right now: nothing to do here" in server.lines(run["id"]))


def test_settings_come_from_secret_blocks_where_the_environment_has_none(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker needs no key in its environment; one that is there wins."""
    from prefect.blocks.system import Secret

    from flows.read_secrets import settings_of_run

    for name, value in {"sendgrid-api-key": "SG.block", "twilio-auth-token": "block", "unrelated": "x"}.items():
        Secret(value=value).save(name)  # type: ignore[unused-coroutine]
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "environment")
    monkeypatch.setenv("SENDGRID_API_KEY", "")
    settings = settings_of_run()
    assert settings.get("SENDGRID_API_KEY") == "SG.block"
    assert settings.get("TWILIO_AUTH_TOKEN") == "environment"
    assert settings.get("UNRELATED") == ""


# ----------------------------------------------------------------------------------------------------- a person's yes


HEAD = "head@acme.example"


def test_the_form_gives_the_yes_and_the_campaign_goes_on(server: Server, shop: Shop) -> None:
    """The run says whose yes it waits for; the form writes it, and asks for the campaign's run at once."""
    from flows.approve_campaign import approve_campaign
    from flows.compile_campaign import campaign_flow
    from flows.plan_next_run import forget_scheduled

    shop.people(3)
    shop.campaign("asking", once(in_minutes(-5), f"approval: {{by: [{HEAD}]}}\n"))
    shop.apply()
    deploy()
    campaign_flow("asking")()
    sentence = (
        f"This campaign awaits the yes of {HEAD}; 3 people wait for it. Say it: Deployments, approve_campaign, Run."
    )
    (run,) = server.runs("asking", "COMPLETED")
    assert soon(lambda: sentence in server.lines(run["id"]))
    assert shop.sends("email.sale") == {}
    asking = server.deployment("asking")
    assert asking is not None
    asyncio.run(forget_scheduled(UUID(asking["id"])))
    told = approve_campaign(campaign="asking", your_address=f" {HEAD} ")
    assert told == {"campaign": "asking", "waves": [""], "was_held": None}
    assert [at <= datetime.now(UTC) for at in server.planned("asking")] == [True]
    campaign_flow("asking")()
    assert shop.sends("email.sale") == {"p0001": "accepted", "p0002": "accepted", "p0003": "accepted"}


def test_the_form_refuses_who_is_not_asked(server: Server, shop: Shop) -> None:
    """The run fails with the reason, and nothing is written."""
    from flows.approve_campaign import approve_campaign

    shop.campaign("refusing", once(in_minutes(90), f"approval: {{by: [{HEAD}]}}\n"))
    shop.apply()
    approve_campaign(campaign="refusing", your_address="ann@acme.example", return_state=True)
    (run,) = server.runs("approve_campaign", "FAILED")
    assert run["state"]["message"] == f"refusing wants the yes of {HEAD}: ann@acme.example is not asked"
    assert shop.count(t.approval) == 0


def test_the_form_offers_the_campaigns_and_takes_any_number_at_once(server: Server, shop: Shop) -> None:
    """A choice, not a text to misspell; another name is refused by the server. A yes waits for no other's end."""
    shop.campaign("first", once(in_minutes(90)))
    shop.campaign("second", once(in_minutes(90)))
    shop.apply()
    deploy()
    found = server.deployment("approve_campaign")
    assert found is not None
    form = found["parameter_openapi_schema"]
    assert (form["properties"]["campaign"]["enum"], form["required"]) == (
        ["first", "second"],
        ["campaign", "your_address"],
    )
    assert [form["properties"][name]["title"] for name in form["properties"]] == ["Campaign", "Your address", "Why"]
    assert found["global_concurrency_limit"] is None
    path = f"{server.api_url}/deployments/{found['id']}/create_flow_run"
    said = {"your_address": HEAD, "campaign": "third"}
    refused = httpx.post(path, json={"parameters": said}, timeout=30, trust_env=False)
    assert (refused.status_code, "third" in refused.text) == (409, True)


# --------------------------------------------------------------------------------------------------------- keep_time


def test_keep_time_does_what_no_run_has_done(server: Server, shop: Shop) -> None:
    """A campaign that is five minutes late is advanced, and has its next run planned."""
    from flows.keep_time import keep_time

    shop.people(3)
    shop.campaign("late", once(in_minutes(-5)))
    shop.apply()
    deploy()
    assert [at <= datetime.now(UTC) for at in server.planned("late")] == [True]  # it should run at once; no worker does
    assert keep_time() == {"advanced": 1, "crashed": 0, "missed": 0}
    assert shop.sends("email.sale") == {"p0001": "accepted", "p0002": "accepted", "p0003": "accepted"}
    assert [local(run) for run in server.planned("late")] == [local(shop_due(shop))]
    assert keep_time() == {"advanced": 0, "crashed": 0, "missed": 0}


def test_keep_time_ends_a_run_whose_process_is_gone(
    server: Server, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says Running, or Pending, and nobody holds the campaign's lease; with a holder it is left alone."""
    from flows import keep_time

    monkeypatch.setattr(keep_time, "DEAD_AFTER", timedelta(0))
    shop.campaign("lost", once(in_minutes(90)))
    shop.apply()
    deploy()
    begun, taken = (plan_by_hand("lost", datetime.now(UTC) - timedelta(minutes=1)) for _ in range(2))
    set_state(begun, "RUNNING")
    set_state(taken, "PENDING")
    with lease(shop.store, "advance:lost", SystemClock()):
        assert keep_time.keep_time()["crashed"] == 0
    assert keep_time.keep_time()["crashed"] == 2
    assert {run["id"] for run in server.runs("lost", "CRASHED")} == {begun, taken}


def test_keep_time_cancels_missed_runs_but_the_newest(server: Server, shop: Shop) -> None:
    """After a night without a worker one run does the work of all."""
    from flows.keep_time import keep_time

    shop.campaign("missed", once(in_minutes(90)))
    shop.apply()
    deploy()
    runs = [plan_by_hand("missed", in_minutes(-minutes)) for minutes in (30, 20, 10)]
    assert keep_time()["missed"] == 2
    assert {run["id"] for run in server.runs("missed", "CANCELLED")} == set(runs[:2])
    assert len(server.planned("missed")) == 2  # the newest of the missed, and the one ahead


# ------------------------------------------------------------------------------------------------------ the server's


def test_what_every_server_needs_is_there_once(server: Server) -> None:
    """Preparing a server again changes nothing."""
    from flows.prepare_prefect import HEARTBEAT_AUTOMATION, prepare

    prepare()
    assert [a["name"] for a in server.ask("automations")] == [HEARTBEAT_AUTOMATION]
    assert [p["name"] for p in server.ask("work_pools")] == ["carillon"]


def test_prefect_deploy_all_deploys_the_standing_flows(server: Server) -> None:
    """The project's prefect.yaml, as a user calls it from the repository, without a question asked."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "deploy", "--all"], cwd=ROOT, env=os.environ, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("keep_time", "hand_over_batches"):
        found = server.deployment(name)
        assert found is not None
        assert [s["schedule"]["interval"] for s in found["schedules"]] == [60]
        assert (found["work_pool_name"], found["entrypoint"]) == ("carillon", f"flows/{name}.py:{name}")
        assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        assert found["global_concurrency_limit"]["limit"] == (4 if name == "hand_over_batches" else 1)
    assert server.deployment("approve_campaign") is not None


def test_nobody_is_known_to_prefect(server: Server) -> None:
    """All that the runs above have left there: no address, no number, no id of the shop's."""
    kinds = ("flows", "deployments", "flow_runs", "task_runs", "logs", "artifacts", "variables")
    left = {kind: json.dumps(server.ask(kind)) for kind in kinds}
    assert "email.sale" in left["logs"]
    assert "email.sale" in left["task_runs"]
    told = [found[0] for text in left.values() for found in re.finditer(PERSONAL, text)]
    assert told == []
    assert [file for file in (server.root / ".carillon").rglob("storage/*") if file.is_file()] == []


PERSONAL = r"[\w.]+@example\.com|\+?447911123456|\bp00\d\d\b|\bno_yes\b|\btexted\b"
"""Addresses, numbers and ids of everybody in these tests."""


def test_runs_that_ended_long_ago_are_forgotten_with_their_artifacts(server: Server):
    """A run that ended before goes, one that ended later stays, and what is not ours is left alone."""
    from flows.retain_runs import forget

    asyncio.run(_ended_run("gone", ["carillon", "campaign"]))
    asyncio.run(_ended_run("foreign", ["somebody"]))
    between = datetime.now(UTC)
    asyncio.run(_ended_run("kept", ["carillon", "campaign"]))

    assert asyncio.run(forget("campaign", between)) >= 1

    left = {run["name"] for run in server.ask("flow_runs") if run["name"] in ("gone", "kept", "foreign")}
    keys = {artifact["key"] for artifact in server.ask("artifacts")} & {"of-gone", "of-kept", "of-foreign"}
    assert (left, keys) == ({"kept", "foreign"}, {"of-kept", "of-foreign"})


async def _ended_run(name: str, tags: list[str]) -> None:
    from prefect import flow, get_client
    from prefect.client.schemas.actions import ArtifactCreate
    from prefect.states import Completed, Running

    async with get_client() as client:
        run = await client.create_flow_run(flow(name="old")(lambda: None), name=name, tags=tags)
        await client.set_flow_run_state(run.id, Running(), force=True)
        await client.set_flow_run_state(run.id, Completed(), force=True)
        await client.create_artifact(ArtifactCreate(key=f"of-{name}", type="markdown", data="x", flow_run_id=run.id))

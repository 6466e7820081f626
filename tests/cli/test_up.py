"""`carillon up` as a process of its own: everything starts, works without a run, and ends without a trace."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import psutil
import pytest

from carillon.sandbox.keys import keys_of
from tests.cli.conftest import Start
from tests.cli.machine import Up, soon, workspace
from tests.shop import Shop

pytestmark = pytest.mark.timeout(400)

WELCOME = """\
title: Cart
entry: {event: cart_updated, if_late: skip after 2h}
journey: [{email: forgot}, {wait: 2d}, {email: last_call}]
"""


def track(up: Up, contact: str, number: int) -> None:
    """The shop reports a cart."""
    key = keys_of(up.folder / ".carillon" / "sandbox").write_key
    event = {"event": "cart_updated", "userId": contact, "messageId": f"m{number}", "properties": {"cart_id": "c1"}}
    said = event | {"timestamp": datetime.now(UTC).isoformat()}
    httpx.post(f"{up.url('Web')}/v1/track", json=said, auth=(key, ""), trust_env=False).raise_for_status()


def inbox(up: Up) -> str:
    return httpx.get(f"{up.url('Inbox')}/", trust_env=False).text


def test_up_serves_events_at_once_and_ends_without_a_trace(shop: Shop, start: Start, tmp_path: Path) -> None:
    """An event becomes a mail within seconds without a run of Prefect's; a second `up` says why it cannot; SIGTERM ends all."""
    shop.contact("ada")
    shop.campaign("cart", WELCOME)
    shop.apply()
    up = start(shop.folder)
    assert "(1 campaign: cart)" in up.said
    track(up, "ada", 1)
    assert soon(lambda: "ada@example.com" in inbox(up), 20)
    assert up.runs("RUNNING", "COMPLETED", "PENDING", "FAILED") == []
    due = [datetime.fromisoformat(run["next_scheduled_start_time"]) for run in soon(lambda: up.runs("SCHEDULED"))]
    assert [timedelta(days=2) - timedelta(minutes=2) < at - datetime.now(UTC) <= timedelta(days=2) for at in due] == [
        True
    ]

    again = start(shop.folder, wait=False)
    assert again.process.wait(30) == 1
    assert again.said == f"`carillon up` already runs here: process {up.process.pid}\n"

    other = workspace(tmp_path / "other")
    other.campaign("cart", WELCOME)
    other.apply()
    port = up.url("Web").rpartition(":")[2]
    refused = start(other.folder, "--web-port", port, "--prefect-port", "0", "--sandbox-port", "0", wait=False)
    assert refused.process.wait(30) == 3
    sentence = f"port {port} of this machine cannot be used (Address already in use): choose another with --web-port\n"
    assert refused.said == sentence
    left = {path.name for path in (other.folder / ".carillon").iterdir()}
    assert not left & {"up.json", "prefect", "sandbox"}
    other.store.close()

    assert up.end(signal.SIGTERM) == 0, up.said
    assert up.said.endswith("Everything runs. Ctrl-C stops it.\nStopping …\n")


def test_what_was_missed_is_taken_up_at_once_also_after_a_power_cut(shop: Shop, start: Start) -> None:
    """A campaign's hour comes while nothing runs: the next `up` runs it; what a killed one left is in nobody's way."""
    shop.people(3)
    shop.campaign("sale", once(0))
    shop.apply()
    up = start(shop.folder)
    assert soon(lambda: inbox(up).count("@example.com") >= 3)
    (run,) = soon(lambda: up.runs("COMPLETED"))
    assert run["name"].startswith("sale ")
    # The run worked on this store, and not on a copy of its folder.
    assert shop.sends("email.sale") == {"p0001": "accepted", "p0002": "accepted", "p0003": "accepted"}
    lost = up.run_now("sale")
    soon(lambda: [run for run in up.runs("PENDING", "RUNNING") if run["id"] == lost])
    up.kill_everything()

    shop.campaign("second", once(0))
    shop.apply("second")
    again = start(shop.folder)
    assert soon(lambda: inbox(again).count("@example.com") >= 6)
    assert soon(lambda: {run["name"].partition(" ")[0] for run in again.runs("COMPLETED")} == {"sale", "second"})
    assert [run["id"] for run in again.runs("CRASHED")] == [lost]
    assert soon(lambda: again.slots_taken("sale") == again.slots_taken("second") == 0 and again.runs("RUNNING") == [])
    again.process.send_signal(signal.SIGINT)
    assert again.end(signal.SIGINT) == 0
    assert "Traceback" not in again.said


def test_children_of_a_killed_parent_are_ended_and_a_lost_child_is_started_again(shop: Shop, start: Start) -> None:
    """Only `carillon up` itself was killed: its server and worker hold no port and no run against the next one."""
    shop.campaign("cart", WELCOME)
    shop.apply()
    up = start(shop.folder)
    orphans = psutil.Process(up.process.pid).children()
    up.process.kill()
    up.process.wait(15)
    port = up.url("Prefect").rpartition(":")[2]
    again = start(shop.folder, "--prefect-port", port, "--web-port", "0", "--sandbox-port", "0")
    assert [o for o in orphans if o.is_running() and o.status() != psutil.STATUS_ZOMBIE] == []
    worker = again.child("worker")
    assert worker is not None
    worker.kill()
    assert soon(lambda: "The Prefect worker has ended (-9): starting it again" in again.said)
    assert soon(lambda: again.child("worker") not in (None, worker))
    assert again.end(signal.SIGINT) == 0


def once(minutes: int) -> str:
    """A one-off that was due so many minutes from now, with a second letter two days later."""
    at = (datetime.now(UTC) + timedelta(minutes=minutes)).astimezone(ZoneInfo("Europe/Berlin"))
    entry = f"entry: {{at: {at:%Y-%m-%d %H:%M}, if_late: skip after 2h}}"
    return f"title: Sale\naudience: {{reachable: email}}\n{entry}\njourney: [{{email: sale}}, {{wait: 2d}}, {{email: again}}]\n"

"""backup, restore, resume and upgrade as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from carillon.cli.main import main
from carillon.cli.running import alone
from carillon.plan.operate import set_operator_state
from carillon.settings import Settings
from tests.shop import Shop

ONCE = "title: Once\naudience: {reachable: email}\nentry: {at: 2026-11-03 09:00, if_late: skip after 3650d}\njourney: [{email: hello}]\n"


def carillon(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def here(any_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A workspace in the current folder, with a campaign that has been due for long by the machine's clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARILLON_DATABASE_URL", any_shop.store.url)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    any_shop.people(2)
    any_shop.campaign("once", ONCE)
    any_shop.apply()
    return any_shop


def test_from_a_backup_to_going_on(here: Shop, tmp_path: Path):
    """What the command line says on the whole way; nobody is written to before a person has looked."""
    if here.store.dialect == "postgresql":
        refused = carillon("backup", "b.zip")
        assert (refused.exit_code, "pg_dump --format=custom" in refused.stderr) == (1, True)
        assert "--taken-at" in carillon("restore", __file__).stderr
        carillon("restore", "--taken-at", "2026-11-02T13:00:00")
    else:
        assert carillon("backup", "b.zip").exit_code == 0
        assert "never replaces" in carillon("backup", "b.zip").stderr
        told = carillon("restore", "b.zip")
        assert told.exit_code == 0, told.output
        assert "may have got once › email.hello since: unsure" in told.stdout.replace("  ", " ")
    assert "--after-restore" in carillon("resume", "--all").stderr
    assert "--after-restore" in carillon("approve", "once").stderr
    here.campaign("lost", ONCE)
    assert "lost: in the files and not in the restored store" in carillon("resume", "--after-restore").stderr
    here.write("lost/campaign.yaml", "topic: offers\nstate: draft\n" + ONCE)

    resumed = carillon("resume", "--after-restore", "--json")

    assert resumed.exit_code == 0, resumed.output
    unsure = [{"campaign": "once", "step": "email.hello", "people": 2}]
    assert json.loads(resumed.stdout) == {"campaigns": ["once"], "sent_again": 0, "unsure": unsure, "ended": {}}
    assert "not restored" in carillon("resume", "--after-restore").stderr


def test_a_restore_waits_until_nothing_runs_here(here: Shop, tmp_path: Path):
    if here.store.dialect == "postgresql":
        pytest.skip("an archive is SQLite's")
    carillon("backup", "b.zip")
    (tmp_path / ".carillon").mkdir()
    with alone(Settings(tmp_path, here.campaigns, "", None, {})):
        refused = carillon("restore", "b.zip")
    assert (refused.exit_code, "stop it first" in refused.stderr) == (1, True)


def test_upgrade_backs_up_first_or_asks_for_a_dump(here: Shop, tmp_path: Path):
    """Exactly what it paused goes on."""
    set_operator_state(here.store, ["once"], "running", who="ann", at=0)
    if here.store.dialect == "postgresql":
        assert "pg_dump" in carillon("upgrade").stderr
        done = carillon("upgrade", "--dumped", "--json")
    else:
        done = carillon("upgrade", "--backup", "kept", "--json")
        assert len(list((tmp_path / "kept").glob("carillon-*.zip"))) == 1
    assert json.loads(done.stdout)["resumed"] == ["once"]

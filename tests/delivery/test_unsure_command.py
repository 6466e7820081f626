"""`carillon unsure`: a person sees what is unknown, decides, and the reason is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from carillon.cli.unsure import unsure
from carillon.kernel.clock import MINUTE
from tests.delivery.ground import seed, states
from tests.delivery.test_reclaim import NOW, claimed, reclaim_at, report


@pytest.fixture
def shop(sqlite_store, tmp_path: Path, monkeypatch):
    """A workspace over a store with one unsure batch of ten."""
    seed(sqlite_store, 20, size=10)
    claimed(sqlite_store, 1)
    reclaim_at(sqlite_store, NOW + MINUTE)
    examples = tmp_path / "campaigns"
    examples.mkdir()
    (examples / "workspace.yaml").write_text("name: Acme\ntimezone: Europe/Berlin\nlanguages: {en: [GB]}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARILLON_DATABASE_URL", sqlite_store.url)
    monkeypatch.setenv("CARILLON_USER", "ann")
    return sqlite_store


def run(*words: str):
    return CliRunner().invoke(unsure, list(words))


def test_the_list_says_what_is_known(shop):
    """Which step, how many people, since when, why, and what the silence means."""
    told = run()
    assert (told.exit_code, "batch 1  sale › email.sale: 10 people by sendgrid" in told.output) == (0, True)
    assert "silence says nothing yet" in told.output
    (known,) = json.loads(run("--json").output)["unsure"]
    assert (known["batch"], known["people"], known["reports_of_others"]) == (1, 10, False)


def test_a_decision_needs_batches_and_a_reason(shop):
    """Wrong use is exit code 2 and changes nothing."""
    assert [run("--resend").exit_code, run("1", "--resend").exit_code, run("--why", "x").exit_code] == [2, 2, 2]
    assert states(shop) == {"ready": 10, "unsure": 10}


def test_a_batch_is_decided_once(shop):
    """The second decision finds nothing unsure and says so with exit code 1."""
    told = run("1", "--close", "--why", "SendGrid lost its logs")
    assert (told.exit_code, told.output) == (0, "batch 1: 10 people closed as unsure\n")
    assert states(shop) == {"closed": 10, "ready": 10}
    assert run("1", "--resend", "--why", "again").exit_code == 1


def test_reports_are_believed_before_anybody_is_asked(shop):
    """A report that came in settles the batch before it is listed."""
    report(shop, 4)
    assert run().output.splitlines() == [
        "10 people were unsure until now: reports prove that they were sent.",
        "Nothing is unsure.",
    ]

"""`carillon segment count|show`, as a marketer types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from carillon.audience.facts import EventFact, Facts
from carillon.cli.segment import segment
from carillon.store.engine import Store
from tests.audience.facts_in_store import write_facts

WORKSPACE = """\
name: Shop
timezone: Europe/Berlin
currency: EUR
address: Shop, Street 1, 10115 Berlin
languages: {de: [DE]}
public_url: https://t.shop.example
senders: {email: {connector: sandbox, from: Shop <hello@shop.example>}}
topics: {offers: {kind: marketing, name: Offers, consent: {email: explicit}}}
"""
ADA = Facts(
    {"id": "ada", "email": "ada@x.example", "country": "DE", "timezone": "Europe/Berlin", "created_at": 0},
    events=(EventFact("order_completed", 1_700_000_000_000_000), EventFact("order_completed", 1_700_000_000_000_001)),
)
BOB = Facts({"id": "bob", "timezone": "Europe/Berlin", "created_at": 0})


@pytest.fixture
def run(tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> object:
    """Runs `carillon segment …` in a shop with two contacts and two segments."""
    folder = tmp_path / "campaigns"
    (folder / "segments").mkdir(parents=True)
    (folder / "workspace.yaml").write_text(WORKSPACE)
    (folder / "data.yaml").write_text("events: {order_completed: {order_id: word}}\n")
    (folder / "segments" / "buyers.yaml").write_text(
        "title: Buyers\nwho: {event: order_completed, count: {at_least: 2}}\n"
    )
    (folder / "segments" / "writable.yaml").write_text("title: Writable\nwho: {reachable: email}\n")
    (folder / "segments" / "broken.yaml").write_text("title: Broken\nwho: {event: order_complted}\n")
    write_facts(sqlite_store, {1: ADA, 2: BOB})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARILLON_DATABASE_URL", sqlite_store.url)
    monkeypatch.setenv("CARILLON_WORKSPACE", "campaigns")

    def run_(*words: str) -> Result:
        return CliRunner().invoke(segment, list(words))

    return run_


def test_count_says_how_many_of_how_many(run: object) -> None:
    """One of two contacts, half."""
    said = run("count", "buyers")  # type: ignore[operator]
    assert (said.exit_code, said.output.splitlines()[:2]) == (0, ["Buyers (buyers)", "1 of 2 contacts, 50.0%"])
    assert "newest event: 2023-11-14 22:13 UTC" in said.output
    assert json.loads(run("count", "buyers", "--json").output)["members"] == 1  # type: ignore[operator]


def test_show_says_who_and_why(run: object) -> None:
    """The member with the reason; nobody else."""
    said = run("show", "buyers", "--json")  # type: ignore[operator]
    why = "2 order_completed, newest 2023-11-14"
    assert json.loads(said.output) == [{"id": "ada", "email": "ada@x.example", "country": "DE", "why": why}]
    assert "ada@x.example" in run("show", "buyers").output  # type: ignore[operator]


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["count", "buyer"], 2, 'did you mean "buyers"?'),
        (["count", "writable"], 1, "--topic"),
        (["count", "writable", "--topic", "offer"], 2, 'did you mean "offers"?'),
        (["count", "broken"], 1, "segments/broken.yaml:2:14"),
        (["show", "buyers", "--limit", "0"], 2, "--limit"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(run: object, words: list[str], code: int, said: str) -> None:
    """Wrong names are wrong use; a segment that is broken, or needs a topic, is no."""
    answer = run(*words)  # type: ignore[operator]
    assert (answer.exit_code, said in answer.output) == (code, True), answer.output

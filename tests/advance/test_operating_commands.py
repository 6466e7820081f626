"""The commands by which a person looks and steers, as they are called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from carillon.cli.main import main
from carillon.kernel.clock import SystemClock
from carillon.store import tables as t
from tests.shop import Shop, counted

SALE = "audience: everyone\nentry: [{at: 2026-12-01 09:00}, {api: true}]\njourney: [{email: sale}, {wait: 1d}, {email: more}]\n"


@pytest.fixture
def under_way(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Three people have had the first mail and wait for the second."""
    monkeypatch.chdir(shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    monkeypatch.setenv("CARILLON_USER", "ann")
    shop.people(3)
    shop.campaign("sale", SALE)
    shop.force("sale")
    shop.run("sale", "2026-12-01 09:00")
    return shop


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def answer(*words: str) -> Any:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_status_says_who_stands_where_and_that_the_ledger_adds_up(under_way: Shop) -> None:
    told = answer("status", "--verify", "--now", "2026-12-01T10:00")
    (sale,) = told["campaigns"]
    assert (sale["state"], sale["under_way"], sale["drift"]) == ("running", {"wait.email.sale": 3}, None)
    assert sale["next_due"] == "2026-12-02T08:00:00+00:00"
    assert told["violations"] == []
    under_way.campaign("sale", SALE.replace("1d", "2d"))
    under_way.campaign("other", SALE)
    told = answer("status")
    assert told["campaigns"][0]["drift"] == "its files mean something else than what is applied"
    assert told["not_applied"] == ["other"]


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (t.batch.update().values(n=7), "a batch's n is its rows: batch 1 says 7, has 3"),
        (t.wave.update().values(n=7), "a wave's people are its enrolments: wave 1 says 7, 3 entered"),
        (t.enrolment.update().values(due_at=None), "nobody is forgotten (sale, version 1): enrolment 1 stands at node 2, due None, and nothing will come; "),
        (t.send.delete(), "each step's people have arrived at it (sale, version 1, wait.email.sale): enrolment 1 stands there without having come; "),
        (t.send.update().values(outcome="lost"), "everybody who was decided for is sent, unsure, rejected, skipped with a reason, or waiting: node 1, enrolment 1 is lost; "),
        (t.attempt.insert().values(batch_id=1, no=2, began_at=0, status="begun"), "nobody is begun twice without a written decision: batch 1: attempt 2 after attempt 1"),
    ],
    ids=["batch", "wave", "forgotten", "arrived", "state", "twice"],
)  # fmt: skip
def test_status_verify_finds_what_is_broken(under_way: Shop, damage: Any, rule: str) -> None:
    """Each invariant can fail: one row is damaged, and the answer is no, with its evidence."""
    with under_way.store.write("ledger") as connection:
        connection.execute(damage)
    result = call("status", "--verify")
    assert result.exit_code == 1
    assert rule in result.output


def test_pause_and_resume_and_stop(under_way: Shop) -> None:
    assert answer("pause", "sale", "--why", "typo") == [
        {"campaign": "sale", "state": "paused", "changed": True, "people": 0}
    ]
    assert call("pause", "sale").output == "sale: was paused already\n"
    assert under_way.run("sale", "2026-12-02 09:00").stages == ()
    assert call("resume", "--all").output == "sale: running\n"
    under_way.run("sale", "2026-12-02 09:10")
    assert counted(under_way.sends("email.more")) == {"accepted": 3}
    assert call("stop", "sale").output == "sale: stopped\n"
    assert answer("status")["campaigns"][0]["state"] == "stopped"


def test_stop_ends_everybody(under_way: Shop) -> None:
    call("stop", "sale")
    assert counted(under_way.enrolments) == {"stopped": 3}
    assert under_way.violations() == []


def test_a_misspelt_campaign_is_named(under_way: Shop) -> None:
    result = call("pause", "sael")
    assert (result.exit_code, result.stderr) == (1, 'no campaign "sael" was applied (did you mean "sale"?)\n')
    assert call("pause").exit_code == 2


def test_enter_takes_in_once_a_key_and_refuses_strangers(under_way: Shop) -> None:
    """The machine's clock rules here: the shop's goes on from it."""
    under_way.contact("zoe")
    now = SystemClock().now()
    with under_way.store.write("core") as connection:
        connection.execute(t.campaign.update().values(first_applied_at=now - 60_000_000))
    under_way.clock.at = now + 60_000_000
    for _ in range(2):
        assert answer("enter", "sale", "zoe", "--key", "k") == {"campaign": "sale", "contact": "zoe", "key": "k"}
    under_way.run("sale")
    assert under_way.inbox.count("zoe") == 1
    result = call("enter", "sale", "nobody")
    assert (result.exit_code, "no contact 'nobody' is known" in result.stderr) == (1, True)


def test_approve_tells_what_had_held_it(under_way: Shop) -> None:
    with under_way.store.write("core") as connection:
        connection.execute(t.campaign.update().values(hold_reason="9 people entered, 3 were planned"))
    assert answer("status")["campaigns"][0]["state"] == "held"
    assert "was held: 9 people entered, 3 were planned" in call("approve", "sale").output
    assert answer("status")["campaigns"][0]["state"] == "running"


def test_explain_in_words_and_as_json(under_way: Shop) -> None:
    told = answer("explain", "p0001", "sale", "--now", "2026-12-01T10:00")
    assert told["ways"][0]["stands_at"] == "wait.email.sale"
    assert told["messages"] == [["email.more", "would get it"]]
    assert "stands at wait.email.sale, due 2026-12-02 08:00:00 UTC" in call("explain", "p0001", "sale").output
    assert call("explain", "nobody", "sale").stderr == 'no contact "nobody" is known\n'

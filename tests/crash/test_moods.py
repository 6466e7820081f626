"""A provider's moods, through the whole engine: what each means for the people, and what a person is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from carillon.kernel.clock import SystemClock
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.crash.house import House, Sink, sink

NOW = "2026-12-01T10:01"
MAIL = "audience: everyone\nentry: {at: 2026-12-01 10:00}\njourney: [{email: sale}]\n"
TEXT = "audience: everyone\nentry: {at: 2026-12-01 10:00}\njourney: [{sms: text}]\n"
GERMAN = {
    "sale.de.yaml": "subject: Angebot\ntexts: {headline: Hallo}\n",
    "text.sms.de.txt": "Angebot: STOP beendet das",
}


@pytest.fixture(scope="module")
def one_sink() -> Iterator[Sink]:
    with sink(seed=7) as it:
        yield it


@pytest.fixture
def house(sqlite_store: Store, tmp_path: Path, one_sink: Sink) -> House:
    one_sink.forget()
    one_sink.set(moods={}, status=None, code=None, most_people=1000)
    it = House(sqlite_store, tmp_path / "shop", one_sink)
    it.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
    return it


def applied(house: House, yaml: str, people: int, *, gold: float = 1.0, bad: int = 0) -> None:
    house.shop.campaign("sale", yaml, GERMAN)
    house.people(people, gold=gold, bad=bad)
    house.shop.apply("sale")


def run(house: House, *, expect: tuple[int, ...] = (0,)) -> str:
    """One run; the back-off before it is over at once, as if the time had passed."""
    with house.store.write("ledger") as connection:
        connection.execute(t.pace.update().values(rest_until=None, rate=None))
        connection.execute(t.batch.update().where(t.batch.c.retry_at.is_not(None)).values(retry_at=0))
    said = house.command("run", "sale", "--now", NOW, expect=expect)
    assert house.violations() == []
    return said


@pytest.mark.parametrize("yaml", [MAIL, TEXT], ids=["mail", "text"])
def test_a_throttled_campaign_waits_as_told_and_is_not_called_done(house: House, yaml: str) -> None:
    """429: nobody lost; status shows who waits and when it goes on; when the provider takes again all get theirs, once."""
    applied(house, yaml, 130)
    house.sink.set(status=429, code=20429)
    begun_at = SystemClock().now()
    run(house)
    assert house.states() == {"ready": 130}
    seen = json.loads(house.command("status", "--now", NOW, "--json"))["campaigns"][0]
    assert (seen["state"], seen["ready"]) == ("running", 130)
    assert seen["next_due"] is not None
    assert sum(seen["waiting_for"].values()) == 130
    connector = "sendgrid" if "email" in yaml else "twilio"
    told = house.command("status", "--now", NOW)
    assert f"{connector} goes slower, as its provider asks: nothing until" in told
    assert "130 ready to be handed over" in told
    with house.store.read() as connection:
        waits = connection.execute(sa.select(t.batch.c.retry_at).where(t.batch.c.state == "ready")).scalars().all()
    own = [
        at for at in waits if at is not None
    ]  # who stands behind the first of a resting connector has none of its own
    assert min(own) > begun_at
    house.sink.set(status=None)
    run(house)
    assert house.states() == {"accepted": 130}
    assert set(house.reached().values()) == {1}


def test_a_report_says_who_still_waits(house: House) -> None:
    """Half of the people got theirs, the other half is throttled: the report's first sentence says both."""
    applied(house, MAIL, 40)
    run(house)
    house.people(30, prefix="q", gold=1.0)
    house.shop.campaign("sale", MAIL.replace("at: 2026-12-01 10:00", "every: day, at: 10:00"), GERMAN)
    house.shop.apply("sale")
    house.sink.set(status=429)
    house.command("run", "sale", "--now", "2026-12-02T10:01")
    assert house.states() == {"accepted": 40, "ready": 70}
    report = house.command("report", "sale", "--now", "2026-12-02T10:02")
    assert "40 messages sent; nothing has been reported back yet. 70 people still wait for theirs." in " ".join(
        report.split()
    )


@pytest.mark.parametrize("yaml", [MAIL, TEXT], ids=["mail", "text"])
def test_a_failing_provider_leaves_people_unsure_and_asks_nobody_again(house: House, yaml: str) -> None:
    """503 says nothing about what became of the request: all stand as unsure, and a further run sends nothing."""
    applied(house, yaml, 130)
    house.sink.set(status=503)
    run(house)
    asked = house.sink.seen()["requests"]
    run(house)
    assert house.states() == {"unsure": 130}
    assert house.sink.seen()["requests"] == asked
    assert "130 unsure (carillon unsure --campaign sale)" in house.command("status", "--now", NOW)


@pytest.mark.parametrize("mood", ["lost", "cut"])
def test_a_text_whose_answer_is_lost_is_proved_one_by_one(house: House, mood: str) -> None:
    """The provider took all 30 and no answer came back: unsure; a report of five proves these five."""
    applied(house, TEXT, 30, gold=0.0)
    house.sink.moods(**{mood: 1.0})
    run(house)
    assert house.states() == {"unsure": 30}
    house.report(list(house.sink.arrived)[:5], house.shop.clock.now())
    house.sink.moods()
    run(house)
    assert house.states() == {"accepted": 5, "unsure": 25}
    assert set(house.reached().values()) == {1}


@pytest.mark.parametrize("mood", ["lost", "cut"])
def test_a_lost_answer_is_settled_by_the_report(house: House, mood: str) -> None:
    """All requests arrive and no answer does: unsure, until one report for each request proves all of its people."""
    applied(house, MAIL, 100)
    house.sink.moods(**{mood: 1.0})
    run(house)
    assert house.states() == {"unsure": 100}
    arrived = house.sink.arrived
    firsts = [next(cid for cid in arrived if house.language_of(cid) == language) for language in ("en", "de")]
    house.report(firsts, house.shop.clock.now())
    house.sink.moods()
    run(house)
    assert house.states() == {"accepted": 100}
    assert set(house.reached().values()) == {1}


def test_slow_answers_are_waited_for(house: House) -> None:
    """An answer that takes two seconds is an answer."""
    applied(house, MAIL, 20)
    house.sink.set(moods={"slow": 1.0}, slow_s=2.0)
    began = time.monotonic()
    run(house)
    assert house.states() == {"accepted": 20}
    assert time.monotonic() - began > 2.0


def test_one_bad_row_in_a_thousand_is_found_and_costs_nobody_else(house: House) -> None:
    """1,000 people of one language, one of them refused with 400: 999 get theirs, once, one is rejected."""
    applied(house, MAIL.replace("email: sale", "email: sale, only_if: {contact: {country: GB}}"), 2000, bad=2)
    run(house)
    assert house.states() == {"accepted": 999, "rejected": 1, "skipped:only_if": 1000}
    assert house.sink.seen()["answers"]["400"] == 11
    assert set(house.fates().values()) == {"accepted", "rejected", "skipped:only_if"}
    assert sum(n for key, n in house.reached().items() if house.fates().get(key) == "accepted") == 999


def test_a_request_that_is_too_large_goes_out_in_parts(house: House) -> None:
    """413 for more than 300 at once: 1,000 people go out in quarters, nobody is rejected."""
    applied(house, MAIL.replace("email: sale", "email: sale, only_if: {contact: {country: GB}}"), 2000)
    house.sink.set(most_people=300)
    run(house)
    assert house.states() == {"accepted": 1000, "skipped:only_if": 1000}


@pytest.mark.parametrize("yaml,connector,code", [(MAIL, "sendgrid", None), (TEXT, "twilio", 20003)])
def test_a_revoked_key_holds_the_connector_until_a_person_lets_it_go_on(
    house: House, yaml: str, connector: str, code: int | None
) -> None:
    """401: the sends are kept, status says so and how to go on; runs ask nobody; after `resume --connector` all go out."""
    applied(house, yaml, 130)
    house.sink.set(status=401, code=code)
    run(house, expect=(1,))
    asked = house.sink.seen()["requests"]
    run(house, expect=(0, 1))
    assert house.sink.seen()["requests"] == asked
    assert house.states() == {"ready": 130}
    seen = house.command("status", "--now", NOW)
    assert f"{connector} takes nothing until a person looks" in seen
    assert f"carillon resume --connector {connector}" in seen
    assert "130 ready to be handed over" in seen
    house.sink.set(status=None)
    assert "130 people wait for it" in house.command("resume", "--connector", connector, "--why", "a new key")
    assert "is not held" in house.command("resume", "--connector", connector, expect=(1,))
    run(house)
    assert house.states() == {"accepted": 130}


def test_twilios_codes_decide_what_becomes_of_a_person(house: House) -> None:
    """21211 and 21610 suppress the number at the first refusal; an account that 30002 suspends holds the connector."""
    applied(house, TEXT, 20, gold=0.0, bad=2)
    run(house)
    assert house.states() == {"accepted": 18, "rejected": 2}
    with house.store.read() as connection:
        reasons = sorted(connection.execute(sa.select(t.suppression.c.reason)).scalars())
    assert [reason.partition(" refused")[0] for reason in reasons] == ["refused: 21211 21211", "stop"]


def test_a_suspended_account_holds_the_connector(house: House) -> None:
    """30002 with a 400: no other message would fare better, so all are kept."""
    applied(house, TEXT, 20, gold=0.0)
    house.sink.set(status=400, code=30002)
    run(house, expect=(1,))
    assert house.states() == {"ready": 20}


def test_a_refused_number_is_suppressed_though_the_run_dies_before_it_says_so(house: House) -> None:
    """Between the ledger's commit and core's the process is killed: the next run passes on what it was told."""
    applied(house, TEXT, 20, gold=0.0, bad=2)
    child = house.start("run", "sale", "--now", NOW, crash_at="before_effects")
    child.join(60)
    assert child.exitcode == -9
    count = sa.select(sa.func.count()).select_from(t.suppression)
    with house.store.read() as connection:
        assert connection.scalar(count) == 0
    run(house)
    with house.store.read() as connection:
        assert connection.scalar(count) == 2
        assert connection.scalar(sa.select(sa.func.count()).select_from(t.refusal)) == 0

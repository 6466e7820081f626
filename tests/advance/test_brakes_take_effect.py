"""Brakes while a hand-over runs: within one batch, nobody lost, nobody twice, and they outlive an apply.

The command is given while a request is on the wire. Two places of the connector are at work, so that one more batch may
have begun in that instant: whatever was claimed by then leaves, nothing else does.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from carillon.cli.main import main
from carillon.delivery.protocol import Accepted, Outcome
from carillon.plan.applied import load_campaign
from tests.shop import Letter, Shop, counted

SALE = "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale}, {wait: 1d}, {email: more}]\n"
PEOPLE, SIZE, PLACES = 40, 2, 2


@pytest.fixture
def on_its_way(any_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Forty people, twenty batches; the commands find this shop."""
    monkeypatch.chdir(any_shop.folder)
    monkeypatch.setenv("CARILLON_DATABASE_URL", any_shop.store.url)
    monkeypatch.setenv("CARILLON_USER", "ann")
    any_shop.mail.max_people = SIZE
    any_shop.people(PEOPLE)
    any_shop.campaign("sale", SALE)
    any_shop.apply()
    return any_shop


def call(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def during(shop: Shop, act: Callable[[], object], after: int = 3) -> Callable[[], int]:
    """Do it while the request of that number is on the wire; the answer: how many people were handed over after it."""
    requests, seen = 0, 0

    def answer(letter: Letter) -> Outcome:
        nonlocal requests, seen
        requests += 1
        if requests == after:
            act()
            seen = len(shop.mail.letters)
        return Accepted(f"ref-{letter.cid}")

    shop.mail.answer = answer
    return lambda: len(shop.mail.letters) - seen


def test_a_pause_takes_effect_within_one_batch_and_loses_nobody(on_its_way: Shop) -> None:
    """Outlives an apply; after the resume everybody has it once."""
    shop = on_its_way
    handed_over_after = during(shop, lambda: call("pause", "sale"))
    shop.run("sale", "2026-12-01 09:00")
    assert handed_over_after() <= (PLACES - 1) * SIZE
    left = PEOPLE - len(shop.inbox)
    assert counted(shop.sends("email.sale")) == {"accepted": len(shop.inbox)}
    assert len(shop.standing("email.sale")) == left > 0
    shop.campaign("sale", SALE.replace("1d", "2d"))
    shop.apply()
    assert shop.run("sale", "2026-12-01 09:30").stages == ()
    call("resume", "sale")
    shop.run("sale", "2026-12-01 10:00")
    assert Counter(shop.inbox) == dict.fromkeys(shop.inbox, 1)
    assert counted(shop.sends("email.sale")) == {"accepted": PEOPLE}
    assert shop.violations() == []


def test_pause_all_takes_effect_within_one_batch_and_outlives_an_apply(on_its_way: Shop) -> None:
    """Also for a campaign that is applied while it stands; `resume --all` lets both go on."""
    shop = on_its_way
    handed_over_after = during(shop, lambda: call("pause", "--all"))
    shop.run("sale", "2026-12-01 09:00")
    assert handed_over_after() <= (PLACES - 1) * SIZE
    shop.campaign("other", SALE)
    shop.apply()
    before = len(shop.inbox)
    shop.run("sale", "2026-12-01 09:10")
    shop.run("other")
    assert len(shop.inbox) == before
    call("resume", "--all")
    shop.run("sale", "2026-12-01 09:20")
    shop.run("other")
    assert len(shop.inbox) == 2 * PEOPLE


def test_a_stop_takes_effect_within_one_batch_and_accounts_for_everybody(on_its_way: Shop) -> None:
    """What was ready is withdrawn, all leave as stopped, and neither an apply nor a resume brings anybody back."""
    shop = on_its_way
    handed_over_after = during(shop, lambda: call("stop", "sale"))
    shop.run("sale", "2026-12-01 09:00")
    assert handed_over_after() <= (PLACES - 1) * SIZE
    got = len(shop.inbox)
    assert 0 < got < PEOPLE
    assert counted(shop.sends("email.sale")) == {"accepted": got, "withdrawn": PEOPLE - got}
    assert counted(shop.enrolments) == {"stopped": PEOPLE}
    assert shop.violations() == []
    shop.campaign("sale", SALE.replace("1d", "2d"))
    shop.apply()
    with shop.store.read() as connection:
        assert load_campaign(connection, "sale").operator_state == "stopped"
    assert shop.run("sale", "2026-12-01 10:00").stages == ()
    call("resume", "sale")
    shop.run("sale", "2026-12-03 10:00")
    assert len(shop.inbox) == got


def test_a_slower_pace_holds_from_the_next_batch_on(on_its_way: Shop) -> None:
    """Written and applied while a hand-over runs that had no pace and more in hand: ten a second from then on."""
    shop, began = on_its_way, 0.0

    def slow_down() -> None:
        nonlocal began
        shop.workspace("limits: {pace: {email: 10/s}}\n")
        shop.apply()
        began = time.monotonic()

    handed_over_after = during(shop, slow_down)
    shop.run("sale", "2026-12-01 09:00")
    elapsed = time.monotonic() - began
    assert len(shop.inbox) == PEOPLE
    in_flight, burst = (PLACES - 1) * SIZE, 10
    assert handed_over_after() <= in_flight + burst + 10 * elapsed
    assert elapsed >= (PEOPLE - 3 * SIZE - in_flight - burst - SIZE) / 10
    assert counted(shop.sends("email.sale")) == {"accepted": PEOPLE}
    assert shop.violations() == []


def test_a_faster_pace_holds_from_the_next_batch_on(on_its_way: Shop) -> None:
    """Two a minute would take twenty for forty; lifted while the first batch is on the wire, they are through before the test's time is out."""
    shop = on_its_way
    shop.workspace("limits: {pace: {email: 2/min}}\n")
    shop.apply()

    def let_go() -> None:
        shop.workspace("")
        shop.apply()

    during(shop, let_go, after=1)
    shop.run("sale", "2026-12-01 09:00")
    assert len(shop.inbox) == PEOPLE


def test_status_tells_the_pace_of_a_hand_over_and_the_time_left(on_its_way: Shop) -> None:
    """Asked while the fourth request is on the wire: three batches are through, the rest is ready."""
    shop, told = on_its_way, list[str]()
    during(shop, lambda: told.append(call("status", "--json")), after=4)
    shop.run("sale", "2026-12-01 09:00")
    (sale,) = json.loads(told[0])["campaigns"]
    assert sale["is_running_now"]
    done = PEOPLE - sale["ready"]
    assert 0 < done <= 4 * SIZE
    # Over one second at least: a pace is not read off an instant.
    assert 0 < sale["people_a_minute"] <= 60 * done
    after = json.loads(call("status", "--json"))["campaigns"][0]
    assert (after["ready"], after["is_running_now"]) == (0, False)

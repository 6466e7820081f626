"""Seen from outside: only the command line, a provider that loses and refuses, kill -9 at any instant, then a count.

Nothing here looks into the store. What is asked, `status --verify`, `unsure` and `report` answer; what arrived, the
provider's own process tells.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import STORES, StoreMaker
from tests.crash.house import DAILY, GERMAN, House, kill, sink
from tests.crash.ordeal import ANY_INSTANT, Tally

FIRST_DAY = date(2026, 12, 1)
MOODS = {"throttled": 0.05, "failed_before": 0.02, "failed_after": 0.02, "lost": 0.03, "cut": 0.02, "slow": 0.3}
TEXTS = 5
"""Every so many-th contact gets a text, the others a mail."""

MOST_LIVES = 80
"""Runs of one day: more than this without an end is a fault, not bad luck."""


@dataclass
class Outside:
    """A shop of which we have a folder and a command line."""

    house: House
    people: int
    chance: random.Random
    tally: Tally
    usual_s: float = 1.0

    def open(self) -> None:
        """Write the files, import the people and what they said, apply."""
        self.house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
        self.house.shop.campaign("daily", DAILY, GERMAN)
        for what, rows in {"contacts": contacts(self.people), "consents": consents(self.people)}.items():
            (self.house.folder / f"{what}.csv").write_text(rows)
            self.house.command("import", what, f"{what}.csv")
        self.house.command("apply", "daily")
        self.house.sink.set(moods=MOODS, slow_s=0.2)

    def live(self, day: int, kills: int) -> None:
        """Run a day's wave until nobody waits any more; killed so often at random instants, the last of them with nothing to do."""
        now = f"{FIRST_DAY + timedelta(days=day)}T10:01"
        for _ in range(MOST_LIVES + kills):
            was_killed = self._life(now, is_deadly=kills > 0)
            kills -= was_killed
            if not was_killed and not self._waits() and kills == 0:
                return
        raise AssertionError(f"not settled: {self.status()}")

    def _life(self, now: str, *, is_deadly: bool) -> bool:
        began = time.monotonic()
        child = self.house.start("run", "daily", "--now", now)
        was_killed = kill(child, self.chance.uniform(0.05, self.usual_s) if is_deadly else 120.0)
        self.tally.runs += 1
        self.tally.kills += was_killed
        self.tally.at[ANY_INSTANT] += was_killed
        if not was_killed:
            assert child.exitcode == 0, self.house.said
            self.usual_s = (self.usual_s + time.monotonic() - began) / 2
        return was_killed

    def _waits(self) -> bool:
        """Whether somebody is ready to be handed over; the provider's back-off is waited for."""
        waits = self.status()["ready"] > 0
        time.sleep(1.0 if waits else 0.0)
        return bool(waits)

    def status(self) -> dict[str, Any]:
        """The campaign's; a sum of the ledger that does not hold ends the command with 1, and this test."""
        told = json.loads(self.house.command("status", "--verify", "--json"))
        assert told["violations"] == []
        (campaign,) = told["campaigns"]
        return dict(campaign)

    def count(self, days: int) -> None:
        """Everybody of every day once, as far as the command line and the provider can tell."""
        tally, seen = self.tally, self.house.sink.seen()
        steps = json.loads(self.house.command("report", "daily", "--json"))["steps"]
        listed = json.loads(self.house.command("unsure", "--json"))["unsure"]
        tally.open = tally.unsure = sum(batch["people"] for batch in listed)
        tally.rejected = sum(step["rejected"] for step in steps)
        tally.skipped = sum(sum(step["skipped"].values()) for step in steps)
        with_doubts = sum(step["totals"]["sent"] for step in steps)
        certain = with_doubts - tally.unsure
        assert tally.unsure == sum(step["unsure"] for step in steps)
        tally.sends = with_doubts + tally.rejected + tally.skipped
        tally.arrived = sum(seen["arrived"].values())
        tally.twice = tally.arrived - len(seen["arrived"])
        tally.forgotten = self.people * days - tally.sends + max(0, certain - len(seen["arrived"]))
        most = max(seen["letters"].values())
        tally.faults += [f"an address got {most} messages in {days} days"] if most > days else []
        surplus = tally.arrived - with_doubts
        tally.faults += [f"{surplus} arrived that are called neither sent nor unsure"] if surplus > 0 else []


def contacts(n: int) -> str:
    """Two of them have addresses that the provider refuses with 400, one by mail, one by text."""
    lines = ["id,email,phone,country,tier"]
    for i in range(n):
        name, end = ("bad" if i == 1 else "p"), ("0001" if i == 0 else "5555")
        tier = "basic" if i % TEXTS == 0 else "gold"
        lines.append(f"p{i},{name}{i}@example.com,+49170{i:05}{end},{('GB', 'DE')[i % 2]},{tier}")
    return "\n".join(lines) + "\n"


def consents(n: int) -> str:
    """Everybody said yes to both channels."""
    said = [f"p{i},offers,{channel},yes,2026-01-01T00:00:00Z" for i in range(n) for channel in ("email", "sms")]
    return "\n".join(["contact,topic,channel,state,at", *said]) + "\n"


def ordeal(house: House, *, seed: int, people: int, days: int, kills: int) -> Tally:
    began = time.monotonic()
    outside = Outside(house, people, random.Random(seed), Tally(f"{house.store.dialect}, from outside"))
    outside.open()
    for day in range(days):
        outside.live(day, kills // days)
    outside.count(days)
    outside.tally.seconds = time.monotonic() - began
    return outside.tally


def test_four_kills_seen_from_outside(new_store: StoreMaker, tmp_path: Path) -> None:
    """120 people on SQLite: nobody twice, everybody is sent, unsure, refused or skipped, and the ledger adds up."""
    with sink(seed=51) as provider:
        tally = ordeal(House(new_store("sqlite"), tmp_path / "shop", provider), seed=51, people=120, days=1, kills=4)
    assert tally.faults == []
    assert (tally.kills, tally.sends, tally.twice, tally.forgotten) == (4, 120, 0, 0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("dialect", STORES)
def test_sixty_kills_seen_from_outside(
    dialect: str, new_store: StoreMaker, tmp_path: Path, to_table: Callable[[Tally], None]
) -> None:
    """1,000 people on six days, ten kills a day."""
    with sink(seed=52) as provider:
        tally = ordeal(House(new_store(dialect), tmp_path / "shop", provider), seed=52, people=1_000, days=6, kills=60)
    to_table(tally)
    assert tally.faults == []
    assert (tally.kills, tally.sends, tally.twice, tally.forgotten) == (60, 6_000, 0, 0)

"""The ordeal: a shop writes to everybody every day, its process is killed again and again, and in the end all is counted."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import get_args

import sqlalchemy as sa

from carillon.kernel.clock import DAY, MINUTE, Micros, from_micros
from carillon.kernel.crash import CrashPoint
from carillon.store import tables as t
from tests.crash.house import DAILY, GERMAN, House, kill
from tests.shop import instant

FIRST_DAY = instant("2026-12-01 10:00")
ANY_INSTANT = "any instant"
POINTS = get_args(CrashPoint)
MOODS = {"throttled": 0.02, "failed_before": 0.01, "failed_after": 0.01, "lost": 0.01, "cut": 0.01, "slow": 0.01}
MOST_LIVES = 40
"""Runs of one day: more than this without an end is a fault, not bad luck."""


@dataclass
class Tally:
    """What an ordeal counted."""

    store: str
    kills: int = 0
    at: Counter[str] = field(default_factory=Counter)
    """Crash point (or `any instant`) → kills there."""
    runs: int = 0
    sends: int = 0
    arrived: int = 0
    twice: int = 0
    forgotten: int = 0
    unsure: int = 0
    """People who were unsure at some time and then …"""
    by_report: int = 0
    resent: int = 0
    closed: int = 0
    rejected: int = 0
    skipped: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        total = Tally(self.store)
        for name in ("kills", "at", "runs", "sends", "arrived", "twice", "forgotten", "unsure", "by_report", "resent",
                     "closed", "rejected", "skipped", "seconds", "faults"):  # fmt: skip
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    @staticmethod
    def table(rows: list[Tally]) -> str:
        """As `make soak` prints it."""
        names = ("store", "kills", "runs", "sends", "arrived", "twice", "forgotten", "unsure", "by_report", "resent",
                 "closed", "rejected", "skipped", "seconds")  # fmt: skip
        cells = [[f"{getattr(row, n):,.0f}" if n != "store" else row.store for n in names] for row in rows]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in ([*names], *cells)]
        killed = [f"  {row.store}: " + ", ".join(f"{n} {at}" for at, n in sorted(row.at.items())) for row in rows]
        return "\n".join([*lines, "killed at", *killed])


@dataclass
class Ordeal:
    """One shop under kills; `chance` draws where and when."""

    house: House
    chance: random.Random
    people: int
    tally: Tally
    kills_left: int = 0
    usual_s: float = 1.0
    """How long a run lasts that nobody kills."""
    _unsure: int = 0

    def begin(self) -> None:
        house = self.house
        house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
        house.shop.campaign("daily", DAILY, GERMAN)
        house.people(self.people, bad=2)
        house.shop.apply("daily")
        house.sink.moods(**MOODS)

    def day(self, number: int, kills: int) -> None:
        """One wave: killed so often, then left alone until everything is settled."""
        self.kills_left += kills
        now = FIRST_DAY + number * DAY + MINUTE
        self._live_until_settled(now)
        self._evidence(now)
        self._a_person_decides(now)
        self._live_until_settled(now)
        self._evidence(now)

    def _live_until_settled(self, now: Micros) -> None:
        for _ in range(MOST_LIVES):
            if self._life(now):
                return
        states = self.house.states()
        raise AssertionError(f"not settled after {MOST_LIVES} runs: {states}\n{self.house.said}")

    def _life(self, now: Micros) -> bool:
        """One process; whether it ended by itself with nothing left to hand over."""
        point = self._choose_point() if self.kills_left > 0 else ""
        crash_at = f"{point}:{self.chance.randint(1, 3)}" if point in POINTS else ""
        began = time.monotonic()
        child = self.house.start("run", "daily", "--now", from_micros(now).isoformat(), crash_at=crash_at)
        killed = kill(child, self.chance.uniform(0.05, self.usual_s) if point == ANY_INSTANT else 60.0)
        self.tally.runs += 1
        if killed:
            self.kills_left -= 1
            self.tally.kills += 1
            self.tally.at[point] += 1
        elif child.exitcode != 0:
            self.tally.faults.append(f"a run ended with {child.exitcode}: {self.house.said[-2000:]}")
        else:
            self.usual_s = (self.usual_s + time.monotonic() - began) / 2
        self.tally.faults += [f"after {point or 'a run'}: {v}" for v in self.house.violations()]
        self._count_unsure()
        return not killed and not self._waiting()

    def _choose_point(self) -> str:
        """Any instant, or the named point at which the fewest have died."""
        if self.chance.random() < 0.5:
            return ANY_INSTANT
        fewest = min(self.tally.at[point] for point in POINTS)
        return self.chance.choice([point for point in POINTS if self.tally.at[point] == fewest])

    def _waiting(self) -> bool:
        b = t.batch.c
        with self.house.store.read() as connection:
            found = connection.execute(
                sa.select(sa.func.count(), sa.func.max(b.retry_at)).where(b.state.in_(("ready", "claimed")))
            ).one()
        n, retry_at = found
        if n and retry_at:
            time.sleep(min(max(0.0, retry_at / 1e6 - time.time()), 2.0))
        return bool(n)

    def _count_unsure(self) -> None:
        n = self.house.states().get("unsure", 0)
        self.tally.unsure += max(0, n - self._unsure)
        self._unsure = n

    def _evidence(self, now: Micros) -> None:
        """The provider's reports come in; the next run settles what they prove."""
        before = self.house.states().get("unsure", 0)
        self.house.report(self.house.sink.arrived, now)
        self._live_until_settled(now)
        self.tally.by_report += max(0, before - self.house.states().get("unsure", 0))

    def _a_person_decides(self, now: Micros) -> None:
        """What no report speaks of did not arrive: it is looked up at the provider, and mostly sent again."""
        with self.house.store.read() as connection:
            rows = connection.execute(sa.select(t.batch.c.id).where(t.batch.c.state == "unsure")).scalars().all()
        again = [str(row) for row in rows if self.chance.random() < 0.8]
        never = [str(row) for row in rows if str(row) not in again]
        before = self.house.states().get("unsure", 0)
        if again:
            self.house.command("unsure", *again, "--resend", "--why", "not in the provider's log")
        middle = self.house.states().get("unsure", 0)
        if never:
            self.house.command("unsure", *never, "--close", "--why", "nobody will know")
        after = self.house.states().get("unsure", 0)
        self.tally.resent += before - middle
        self.tally.closed += middle - after
        self._count_unsure()

    def settle_up(self, days: int) -> Tally:
        """Count what really arrived against what the ledger says."""
        tally, fates, reached = self.tally, self.house.fates(), self.house.reached()
        for key, fate in fates.items():
            n = reached.get(key, 0)
            tally.twice += max(0, n - 1)
            match fate:
                case "accepted":
                    tally.forgotten += n == 0
                case "rejected":
                    tally.rejected += 1
                    tally.faults += [f"{key} arrived, and is called rejected"] if n else []
                case "closed" | "unsure":
                    pass
                case _ if fate.startswith("skipped:"):
                    tally.skipped += 1
                    tally.faults += [f"{key} arrived, and is called {fate}"] if n else []
                case _:
                    tally.faults.append(f"{key} is {fate} at the end")
        tally.faults += [f"{key} arrived, and the ledger knows nothing of it" for key in reached.keys() - fates.keys()]
        tally.forgotten += self.people * days - len(fates)
        tally.sends, tally.arrived = len(fates), sum(reached.values())
        most = max(self.house.sink.seen()["letters"].values())
        tally.faults += [f"an address got {most} messages in {days} days"] if most > days else []
        return tally


def run_ordeal(house: House, *, seed: int, people: int, days: int, kills: int) -> Tally:
    """All days with about as many kills each; more days follow only while kills are left over."""
    began = time.monotonic()
    ordeal = Ordeal(house, random.Random(seed), people, Tally(house.store.dialect))
    ordeal.begin()
    number = 0
    while number < days or ordeal.kills_left > 0:
        assert number < 3 * days, f"{ordeal.kills_left} kills could not be placed"
        share = kills * (number + 1) // days - kills * number // days if number < days else 0
        ordeal.day(number, share)
        number += 1
    tally = ordeal.settle_up(number)
    tally.seconds = time.monotonic() - began
    return tally

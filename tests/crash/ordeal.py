"""The ordeal: a shop writes to everybody every day, its process is killed again and again, and in the end all is counted."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import get_args

import sqlalchemy as sa

from carillon.delivery.evidence import BY_REPORT
from carillon.kernel.clock import DAY, MINUTE, Micros, from_micros
from carillon.kernel.crash import CrashPoint
from carillon.store import tables as t
from tests.crash.house import DAILY, GERMAN, House, Key, kill
from tests.shop import instant

FIRST_DAY = instant("2026-12-01 10:00")
ANY_INSTANT = "any instant"
TOO_LONG = "a run that a loaded machine made too long"
POINTS = get_args(CrashPoint)
# Few are throttled: each 429 slows its connector for a minute, and the days would be spent waiting.
MOODS = {"throttled": 0.004, "failed_before": 0.01, "failed_after": 0.01, "lost": 0.01, "cut": 0.01, "slow": 0.01}
STUCK_S = 240.0
"""So long nobody more is handed over though somebody waits: a fault. A slowed connector still sends one a second."""

IN_VAIN = 5
"""So many days on end without one kill that could be placed: a fault of the ordeal."""


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
    """How often a person became unsure; each of these then ended …"""
    by_report: int = 0
    looked_up: int = 0
    resent: int = 0
    closed: int = 0
    open: int = 0
    """… or is unsure still."""
    rejected: int = 0
    skipped: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def adds_up(self) -> bool:
        """Whether every doubt is accounted for, once."""
        return self.unsure == self.by_report + self.looked_up + self.resent + self.closed + self.open

    def __add__(self, other: Tally) -> Tally:
        total = Tally(self.store)
        for name in (*NUMBERS, "at", "faults"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def packed(self) -> str:
        """As it travels from a test's process to the one that prints the table."""
        # asdict would count a Counter's pairs.
        return json.dumps(asdict(self) | {"at": dict(self.at)})

    @staticmethod
    def unpacked(packed: str) -> Tally:
        told = json.loads(packed)
        return Tally(**told | {"at": Counter(told["at"])})

    @staticmethod
    def table(rows: list[Tally]) -> str:
        """A table in Markdown, as `make soak` prints it and a closing note shows it."""
        heads = ["store", *(name.replace("_", " ") for name in NUMBERS)]
        cells = [[row.store, *(f"{getattr(row, name):,.0f}" for name in NUMBERS)] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        lines = [[cell.rjust(w) for cell, w in zip(line, widths, strict=True)] for line in (heads, *cells)]
        lines.insert(1, ["-" * (w - 1) + ":" for w in widths])
        killed = [f"- {row.store}: " + ", ".join(f"{n} {at}" for at, n in sorted(row.at.items())) for row in rows]
        return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", "Killed at", "", *killed])


NUMBERS = ("kills", "runs", "sends", "arrived", "twice", "forgotten", "unsure", "by_report", "looked_up", "resent",
           "closed", "open", "rejected", "skipped", "seconds")  # fmt: skip
"""The columns of the table."""


@dataclass
class Ordeal:
    """One shop under kills; `chance` draws where and when."""

    house: House
    chance: random.Random
    people: int
    tally: Tally
    kills_left: int = 0
    usual_s: dict[bool, float] = field(default_factory=lambda: {True: 1.0, False: 0.3})
    """How long a run lasts that nobody kills: one that somebody waits for, and one with nothing to hand over."""
    _doubts: set[Key] = field(default_factory=set)
    """Who was unsure at the last look."""
    _in_vain: set[str] = field(default_factory=set)
    """Points that a run did not pass often enough to die there."""

    def begin(self) -> None:
        house = self.house
        house.shop.write("data.yaml", "contact: {tier: {one_of: [gold, basic]}}\n")
        house.shop.campaign("daily", DAILY, GERMAN)
        # Of 200 people 70 get a text in each language: more than a window, or nobody could die between two of them.
        house.people(self.people, gold=0.3, bad=2)
        house.shop.apply("daily")
        house.sink.moods(**MOODS)

    def day(self, number: int, kills: int) -> None:
        """One wave: killed so often, then left alone until everything is settled."""
        self.kills_left += kills
        now = FIRST_DAY + number * DAY + MINUTE
        self._live_until_settled(now)
        self._evidence(now, all_of_it=False)
        self._a_person_decides()
        self._live_until_settled(now)
        self._evidence(now)

    def _live_until_settled(self, now: Micros) -> None:
        fewest, since = self._ready(), time.monotonic()
        while not self._life(now):
            if (left := self._ready()) < fewest or self.kills_left > 0:
                fewest, since = left, time.monotonic()
            if time.monotonic() - since > STUCK_S:
                raise AssertionError(f"nobody moved for {STUCK_S:.0f} s: {self.house.states()}\n{self.house.said}")

    def _ready(self) -> int:
        return self.house.states().get("ready", 0)

    def _life(self, now: Micros) -> bool:
        """One process; whether it ended by itself with nothing left to hand over."""
        busy = self._somebody_waits(now)
        point = self._choose_point(busy) if self.kills_left > 0 else ""
        passage = 1 if point in self._in_vain else self.chance.choice((1, 1, 2, 3))
        crash_at = f"{point}:{passage}" if point in POINTS else ""
        # Of few people at a time, no batch of texts is larger than a window: nobody can die between two of them.
        few_are_many = point != "mid_hand_over" and self.chance.random() < 0.5
        began = time.monotonic()
        child = self.house.start(
            "run", "daily", "--now", from_micros(now).isoformat(), crash_at=crash_at, few_are_many=few_are_many
        )
        killed = kill(child, self.chance.uniform(0.05, self.usual_s[busy]) if point == ANY_INSTANT else 60.0)
        self.tally.runs += 1
        (self._in_vain.discard if killed else self._in_vain.add)(point)
        if killed:
            self.kills_left -= 1
            self.tally.kills += 1
            self.tally.at[point or TOO_LONG] += 1
        elif child.exitcode != 0:
            self.tally.faults.append(f"a run ended with {child.exitcode}: {self.house.said[-2000:]}")
        else:
            self.usual_s[busy] = (self.usual_s[busy] + time.monotonic() - began) / 2
        self.tally.faults += [f"after {point or 'a run'}: {v}" for v in self.house.violations()]
        self._look()
        return not killed and not self._waiting()

    def _choose_point(self, busy: bool) -> str:
        """Any instant, for no more than half of the kills, or the named point at which the fewest have died; or none.

        Where nobody is to be handed over, a run passes no point but `between_stages`.
        """
        at = self.tally.at
        if at[ANY_INSTANT] <= self.tally.kills // 2 and self.chance.random() < 0.5:
            return ANY_INSTANT
        fewest = min(at[point] for point in POINTS)
        choice = [point for point in POINTS if at[point] == fewest and (busy or point == "between_stages")]
        return self.chance.choice(choice) if choice else ""

    def _somebody_waits(self, now: Micros) -> bool:
        """Whether a run has somebody to hand over: its wave has not entered, or not all of it has left."""
        states = self.house.states()
        entered = self.people * (1 + (now - FIRST_DAY) // DAY)
        return sum(states.values()) < entered or states.get("ready", 0) > 0

    def _waiting(self) -> bool:
        b = t.batch.c
        with self.house.store.read() as connection:
            found = connection.execute(
                sa.select(sa.func.count(), sa.func.max(b.retry_at)).where(b.state.in_(("ready", "claimed")))
            ).one()
        n, retry_at = found
        if n:
            time.sleep(min(max(0.2, (retry_at or 0) / 1e6 - time.time()), 2.0))
        return bool(n)

    def _look(self) -> None:
        """Who became unsure since the last look, and which of those who were have been settled by a report."""
        doubts = self.house.doubts()
        self.tally.unsure += len(doubts - self._doubts)
        for key, how in self.house.settled(self._doubts - doubts).items():
            self.tally.by_report += how == ("accepted", BY_REPORT)
            self.tally.faults += [f"{key} was unsure and became {how}"] if how != ("accepted", BY_REPORT) else []
        self._doubts = doubts

    def _evidence(self, now: Micros, *, all_of_it: bool = True) -> None:
        """The provider's reports come in, a fifth of them late; the next run settles what they prove."""
        arrived = self.house.sink.arrived
        self.house.report([cid for cid in arrived if all_of_it or zlib.crc32(cid.encode()) % 5], now)
        self._live_until_settled(now)

    def _a_person_decides(self) -> None:
        """What no report spoke of is looked up: what arrived whole is accepted, of what did not most is sent again.

        A batch of which some arrived and some did not waits for the reports: no one word would be true of it.
        """
        words: dict[str, list[str]] = {}
        for batch_id, arrived in self.house.looked_up().items():
            if all(arrived):
                words.setdefault("--accept", []).append(str(batch_id))
            elif not any(arrived):
                words.setdefault("--resend" if self.chance.random() < 0.8 else "--close", []).append(str(batch_id))
        for word, batches in words.items():
            self._say(word, batches)
        self._doubts = self.house.doubts()

    def _say(self, word: str, batches: list[str]) -> None:
        said = self.house.command("unsure", *batches, word, "--why", "looked up in the provider's log", "--json")
        people = sum(json.loads(said)["people"].values())
        self.tally.looked_up += people if word == "--accept" else 0
        self.tally.resent += people if word == "--resend" else 0
        self.tally.closed += people if word == "--close" else 0

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
        tally.open = Counter(fates.values())["unsure"]
        tally.faults += [] if tally.adds_up else ["what became of those who were unsure does not add up"]
        most = max(self.house.sink.seen()["letters"].values())
        tally.faults += [f"an address got {most} messages in {days} days"] if most > days else []
        return tally


def run_ordeal(house: House, *, seed: int, people: int, days: int, kills: int) -> Tally:
    """All days with about as many kills each; more days follow only while kills are left over."""
    began = time.monotonic()
    ordeal = Ordeal(house, random.Random(seed), people, Tally(house.store.dialect))
    ordeal.begin()
    number, latest = 0, 0
    while number < days or ordeal.kills_left > 0:
        assert number - latest < IN_VAIN, f"{ordeal.kills_left} kills could not be placed: {dict(ordeal.tally.at)}"
        killed = ordeal.tally.kills
        share = kills * (number + 1) // days - kills * number // days if number < days else 0
        ordeal.day(number, share)
        number += 1
        latest = number if ordeal.tally.kills > killed else latest
    tally = ordeal.settle_up(number)
    tally.seconds = time.monotonic() - began
    return tally

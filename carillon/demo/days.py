"""The virtual days: the campaign runs whenever it wants to run, and in between the world goes on."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from carillon.advance.next_due import next_due
from carillon.demo.rehearsal import Rehearsal
from carillon.demo.servers import Town
from carillon.demo.shop import Order
from carillon.demo.telling import Told
from carillon.journey.ground import load_ground
from carillon.kernel.clock import DAY, HOUR, Micros, from_micros, to_micros
from carillon.store.engine import Store

PAUSE = HOUR
"""Runs of the campaign keep at least this virtual distance, for the sake of the demo's real time."""
SHOWN = ("take people in", "choose the leader", "judge")


@dataclass(slots=True)
class Days:
    """A campaign's days between two instants, in a flow that runs elsewhere and a town around it."""

    campaign: str
    store: Store
    flow: Rehearsal
    town: Town
    coming: list[Order]
    """What is ordered whatever is sent, in time."""
    zone: ZoneInfo
    runs: int = 0
    world: Counter[str] = field(default_factory=Counter)
    """What the world told, by kind."""

    def live(self, told: Told, begins: Micros, end: Micros) -> None:
        """Run the campaign at its instants from `begins` to `end`, and print a line for each."""
        columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn())
        now = begins
        with Progress(*columns, console=told.console, transient=True) as bar:
            task = bar.add_task("", total=(end - begins) / HOUR)
            while now < end:
                clock = self._clock(now)
                bar.update(task, completed=(now - begins) / HOUR, description=f"{clock}  the campaign runs")
                told.line(f"{clock}  {self._run(now)}")
                bar.update(task, description=f"{clock}  people read, click and order")
                then = min(max(self._next_due(now), now + PAUSE), end)
                self._world_until(now, then)
                now = then
            told.line(f"{self._clock(end)}  {self._run(end)}")
        said = ", ".join(f"{n:,} {what}" for what, n in self.world.items() if n)
        told.line(f"{self.runs} flow runs; told by the world: {said}", "dim")

    def _clock(self, at: Micros) -> str:
        return f"{from_micros(at).astimezone(self.zone):%a %d %b %H:%M}"

    def _run(self, now: Micros) -> str:
        self.town.prepare(now)
        self.runs += 1
        return short(self.flow.run(now))

    def _next_due(self, now: Micros) -> Micros:
        due = next_due(load_ground(self.store, self.campaign, now))
        return now + DAY if due is None else due

    def _world_until(self, now: Micros, then: Micros) -> None:
        first, last = (bisect_right(self.coming, at, key=_ordered_at) for at in (now, then))
        self.world.update(self.town.live_until(then, self.coming[first:last]))


def short(lines: list[str]) -> str:
    """What a run did for people, without its counts of who got nothing: those stand in the report and in Prefect."""
    kept = [line for line in lines if line.startswith(SHOWN) or line.endswith(("accepted", "rejected", "unsure"))]
    return " · ".join(kept) or "nothing to hand over"


def _ordered_at(order: Order) -> Micros:
    return to_micros(datetime.fromisoformat(order.at))

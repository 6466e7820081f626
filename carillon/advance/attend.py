"""Events wait for no run: new intakes are folded every second, and campaigns that a signal speaks to are advanced."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.advance.advance import Advanced, advance
from carillon.advance.engine import Engine
from carillon.advance.heard import heard_kinds, listens_to, looks_at
from carillon.advance.lease import AlreadyRunning, lease_holder
from carillon.advance.notices import tell_notices
from carillon.advance.overdue import PATIENCE, overdue
from carillon.advance.side_by_side import SideBySide
from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold, has_new
from carillon.kernel.clock import MINUTE, Micros
from carillon.plan.applied import Applied, applied_names, load_campaign, load_rules
from carillon.store import tables as t

log = logging.getLogger(__name__)

EVERY_S = 0.5
OVERDUE_EVERY_S = 20.0
NEAR: Micros = MINUTE
"""What is due so soon is waited for here; later than that is a planned run's."""
ENTER = "enter"

Told = Callable[[Advanced], None]
"""Hears of each advance: whoever plans runs learns when the campaign wants to be advanced again."""


def attend(
    engine: Engine, stop: threading.Event, *, every_s: float = EVERY_S, told: Told = lambda advanced: None
) -> None:
    """Fold and advance until `stop` is set; an error in one round is logged and the next round tries again.

    Campaigns that no run has advanced in time are advanced too. None waits for the hand-over of another.
    """
    seen, looked_at, fault = not_seen_yet(engine), time.monotonic(), ""
    prompter = _Prompter(engine, told, stop.is_set)
    with SideBySide(prompter.advance) as advances:
        while not stop.wait(every_s):
            try:
                seen = hear(engine, seen, advances)
                advances.ask(prompter.due())
                if time.monotonic() - looked_at >= OVERDUE_EVERY_S:
                    looked_at = time.monotonic()
                    late = overdue(engine.store, engine.campaign_clock.now() - PATIENCE, engine.machine_clock.now())
                    advances.ask(late, is_late=True)
                fault = ""
            except Exception as error:
                if fault != (fault := repr(error)):  # told once, not every second
                    log.exception("attending to events failed; it is tried again every second")
            advances.go()


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest signal and the newest change of a contact that were looked at."""

    signal: int
    change: int


def hear(engine: Engine, seen: Seen, advances: SideBySide) -> Seen:
    """Fold what is new and ask for the campaigns that it concerns; returns what was looked at."""
    now: Micros = engine.campaign_clock.now()
    tell_notices(engine.store, now)
    if has_new(engine.store):
        fold(engine.store, now, heard=heard_kinds(engine.store))
        with engine.store.read() as connection:
            rules = load_rules(connection)
        apply_effects(engine.store, now, rules)
    newest = newest_seen(engine)
    if newest != seen:
        advances.ask(concerned(engine, seen, newest))
    return newest


class _Prompter:
    """Advances campaigns as they are asked for, and keeps what is due again within a minute: no run is planned for it."""

    def __init__(self, engine: Engine, told: Told, stopping: Callable[[], bool]) -> None:
        self._engine, self._told, self._stopping = engine, told, stopping
        self._near: dict[str, Micros] = {}

    def advance(self, name: str) -> bool:
        """Advance until nothing more leaves; False while another process has the campaign in hand."""
        clock = self._engine.machine_clock
        if lease_holder(self._engine.store, f"advance:{name}", clock) is not None:
            return False
        try:
            while (advanced := self._one(name)).goes_on and not self._stopping():
                pass
        except AlreadyRunning:
            return False
        due = advanced.next_due
        if due is not None and due - self._engine.campaign_clock.now() <= NEAR:
            self._near[name] = due
        else:
            self._near.pop(name, None)
            self._told(advanced)
        return True

    def _one(self, name: str) -> Advanced:
        return advance(self._engine, name, promptly=True, stopping=self._stopping)

    def due(self) -> list[str]:
        """The campaigns whose kept instant has come."""
        now = self._engine.campaign_clock.now()
        come = [name for name, at in list(self._near.items()) if at <= now]
        for name in come:
            self._near.pop(name, None)
        return come


def not_seen_yet(engine: Engine) -> Seen:
    """Where to begin after a start: behind what every campaign has looked at already."""
    cursor = t.ledger_cursor.c
    with engine.store.read() as connection:
        looked = connection.scalar(
            sa.select(sa.func.min(cursor.signal_id)).where(
                sa.or_(cursor.consumer.like("enter:%"), cursor.consumer.like("exit:%"))
            )
        )
    return replace(newest_seen(engine), signal=looked or 0)


def newest_seen(engine: Engine) -> Seen:
    """What is newest now."""
    with engine.store.read() as connection:
        signal = connection.scalar(sa.select(sa.func.max(t.signal.c.id)))
        return Seen(signal or 0, connection.scalar(sa.select(sa.func.max(t.contact_change.c.id))) or 0)


def concerned(engine: Engine, low: Seen, high: Seen) -> list[str]:
    """The running campaigns that something between the two may enter, exit or move."""
    with engine.store.read() as connection:
        said = _said(connection, low, high)
        applied = [load_campaign(connection, name) for name in applied_names(connection)]
    return [a.name for a in applied if a.is_running and _concerns(said, a)]


@dataclass(frozen=True, slots=True)
class _Said:
    events: frozenset[str]
    entering: frozenset[int | None]
    answered: frozenset[int | None]
    """The campaigns whose messages were opened or clicked."""
    fields: frozenset[str]
    """What was told anew of some contact."""
    has_redeemed: bool
    """Some code stood in an order."""


def _said(connection: Connection, low: Seen, high: Seen) -> _Said:
    signal, change = t.signal.c, t.contact_change.c
    told = connection.execute(
        sa.select(signal.kind, signal.subject, signal.campaign_id)
        .where(signal.id > low.signal, signal.id <= high.signal)
        .distinct()
    ).all()
    fields = sa.select(change.field).where(change.id > low.change, change.id <= high.change).distinct()
    return _Said(
        frozenset(s.subject for s in told if s.kind == "event"),
        frozenset(s.campaign_id for s in told if s.kind == ENTER),
        frozenset(s.campaign_id for s in told if s.kind == "response"),
        frozenset(connection.scalars(fields)),
        any(s.kind == "redeem" for s in told),
    )


def _concerns(said: _Said, applied: Applied) -> bool:
    if applied.id in said.entering or said.events & listens_to(applied):
        return True
    needs = looks_at(applied)
    if needs.coupons and said.has_redeemed:
        return True
    by_answer = needs.feedback and bool(said.answered if needs.anywhere else applied.id in said.answered)
    return by_answer or bool(said.fields if "*" in needs.fields else said.fields & needs.fields)

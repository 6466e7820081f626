"""Events wait for no run: new intakes are folded every second, and campaigns that a signal speaks to are advanced."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import sqlalchemy as sa

from carillon.advance.advance import Advanced, advance
from carillon.advance.engine import Engine
from carillon.advance.heard import heard_kinds, listens_to
from carillon.advance.lease import AlreadyRunning
from carillon.advance.overdue import PATIENCE, overdue
from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold, has_new
from carillon.kernel.clock import Micros
from carillon.plan.applied import applied_names, load_campaign, load_rules
from carillon.store import tables as t

log = logging.getLogger(__name__)

EVERY_S = 1.0
OVERDUE_EVERY_S = 60.0
ENTER = "enter"

Told = Callable[[Advanced], None]
"""Hears of each advance: whoever plans runs learns when the campaign wants to be advanced again."""


def attend(
    engine: Engine, stop: threading.Event, *, every_s: float = EVERY_S, told: Told = lambda advanced: None
) -> None:
    """Fold and advance until `stop` is set; an error in one round is logged and the next round tries again.

    Each minute campaigns that no run has advanced in time are advanced too.
    """
    seen, looked_at, fault = newest_signal(engine), time.monotonic(), ""
    while not stop.wait(every_s):
        try:
            seen = attend_once(engine, seen, told=told, stopping=stop.is_set)
            if time.monotonic() - looked_at >= OVERDUE_EVERY_S:
                looked_at = time.monotonic()
                late = overdue(engine.store, engine.campaign_clock.now() - PATIENCE)
                _advance_each(engine, late, told, stop.is_set)
            fault = ""
        except Exception as error:
            if fault != (fault := repr(error)):  # told once, not every second
                log.exception("attending to events failed; it is tried again every second")


def attend_once(
    engine: Engine, seen: int, *, told: Told = lambda advanced: None, stopping: Callable[[], bool] = lambda: False
) -> int:
    """Fold what is new and advance whom it concerns; returns the newest signal that was looked at."""
    if has_new(engine.store):
        now: Micros = engine.campaign_clock.now()
        fold(engine.store, now, heard=heard_kinds(engine.store))
        with engine.store.read() as connection:
            rules = load_rules(connection)
        apply_effects(engine.store, now, rules)
    newest = newest_signal(engine)
    if newest > seen:
        _advance_each(engine, concerned(engine, seen, newest), told, stopping)
    return newest


def _advance_each(engine: Engine, names: Iterable[str], told: Told, stopping: Callable[[], bool]) -> None:
    """Advance them all; what failed is raised when the others had their turn."""
    faults = []
    for name in names:
        try:
            told(advance(engine, name, stopping=stopping))
        except AlreadyRunning:
            continue  # Who runs now folds before each claim: it has seen these signals, or its next run will.
        except Exception as fault:
            faults.append(fault)
    if faults:
        raise ExceptionGroup("campaigns that could not be advanced", faults)


def newest_signal(engine: Engine) -> int:
    """The highest signal id so far."""
    with engine.store.read() as connection:
        return connection.scalar(sa.select(sa.func.max(t.signal.c.id))) or 0


def concerned(engine: Engine, low: int, high: int) -> list[str]:
    """The running campaigns that some signal in (low, high] may enter, exit or move."""
    signal = t.signal.c
    with engine.store.read() as connection:
        told = connection.execute(
            sa.select(signal.kind, signal.subject, signal.campaign_id)
            .where(signal.id > low, signal.id <= high)
            .distinct()
        ).all()
        events = {s.subject for s in told if s.kind == "event"}
        entering = {s.campaign_id for s in told if s.kind == ENTER}
        applied = [load_campaign(connection, name) for name in applied_names(connection)]
    return [a.name for a in applied if a.is_running and (a.id in entering or events & set(listens_to(a)))]

"""Events wait for no run: new intakes are folded every second, and campaigns that a signal speaks to are advanced."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.advance.advance import Advanced, advance
from carillon.advance.engine import Engine
from carillon.advance.heard import heard_kinds, listens_to, looks_at
from carillon.advance.lease import AlreadyRunning
from carillon.advance.notices import tell_notices
from carillon.advance.overdue import PATIENCE, overdue
from carillon.feedback.effects import apply_effects
from carillon.feedback.fold import fold, has_new
from carillon.kernel.clock import Micros
from carillon.plan.applied import Applied, applied_names, load_campaign, load_rules
from carillon.store import tables as t

log = logging.getLogger(__name__)

EVERY_S = 1.0
OVERDUE_EVERY_S = 20.0
ENTER = "enter"

Told = Callable[[Advanced], None]
"""Hears of each advance: whoever plans runs learns when the campaign wants to be advanced again."""


def attend(
    engine: Engine, stop: threading.Event, *, every_s: float = EVERY_S, told: Told = lambda advanced: None
) -> None:
    """Fold and advance until `stop` is set; an error in one round is logged and the next round tries again.

    Campaigns that no run has advanced in time are advanced too.
    """
    seen, looked_at, fault = newest_seen(engine), time.monotonic(), ""
    while not stop.wait(every_s):
        try:
            seen = attend_once(engine, seen, told=told, stopping=stop.is_set)
            if time.monotonic() - looked_at >= OVERDUE_EVERY_S:
                looked_at = time.monotonic()
                late = overdue(engine.store, engine.campaign_clock.now() - PATIENCE, engine.machine_clock.now())
                _advance_each(engine, late, told, stop.is_set)
            fault = ""
        except Exception as error:
            if fault != (fault := repr(error)):  # told once, not every second
                log.exception("attending to events failed; it is tried again every second")


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest signal and the newest change of a contact that were looked at."""

    signal: int
    change: int


def attend_once(
    engine: Engine, seen: Seen, *, told: Told = lambda advanced: None, stopping: Callable[[], bool] = lambda: False
) -> Seen:
    """Fold what is new and advance whom it concerns; returns what was looked at."""
    now: Micros = engine.campaign_clock.now()
    tell_notices(engine.store, now)
    if has_new(engine.store):
        fold(engine.store, now, heard=heard_kinds(engine.store))
        with engine.store.read() as connection:
            rules = load_rules(connection)
        apply_effects(engine.store, now, rules)
    newest = newest_seen(engine)
    if newest != seen:
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
    )


def _concerns(said: _Said, applied: Applied) -> bool:
    if applied.id in said.entering or said.events & listens_to(applied):
        return True
    needs = looks_at(applied)
    by_answer = needs.feedback and bool(said.answered if needs.anywhere else applied.id in said.answered)
    return by_answer or bool(said.fields if "*" in needs.fields else said.fields & needs.fields)

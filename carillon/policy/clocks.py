"""Quiet hours and blackouts as a set: asked once a zone and instant, however many people share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from carillon.definition.limits import Blackout
from carillon.kernel.clock import DAY
from carillon.kernel.time.calendar import clock_micros, time_micros
from carillon.kernel.time.windows import Window
from carillon.policy.words import WaitReason
from carillon.store import localtime
from carillon.store.tables import zone_period

Column = sa.ColumnElement[Any]

_NOUGHT = sa.literal_column("0", sa.Integer)


def clocks(pairs: sa.Select[Any], windows: Sequence[Window], blackouts: Sequence[Blackout]) -> sa.CTE:
    """For each (zone, at): `open_at` where a message must wait, and why, and `shut_at` at which it may leave no more.

    `shut_at` may be too early, never too late: it ends with the zone's period, because clocks are only even within one.
    """
    pair = pairs.distinct().offset(_NOUGHT).cte("pair")
    period = zone_period.alias("pair_period")
    clock = pair.c.at + period.c.offset
    asked = (
        sa.select(
            pair.c.zone, pair.c.at, pair.c.at.label("open_at"), clock.label("clock"), (clock % DAY).label("time"),
            period.c.offset, period.c.to_utc,
        )
        .join_from(pair, period, period.c.zone == pair.c.zone)
        .where(period.c.from_utc <= pair.c.at, period.c.to_utc > pair.c.at)
        .offset(_NOUGHT)
        .cte("asked_clock")
    )  # fmt: skip
    opened = asked
    for number, step in enumerate(_steps(windows, blackouts)):
        others = [c for c in opened.c if c.name != "open_at"]
        opened = (
            sa.select(*others, step(opened.c.zone, opened.c.open_at).label("open_at"))
            .offset(_NOUGHT)
            .cte(f"opened_{number}")
        )
    o = opened.c
    why = sa.case((_in_blackout(o.clock, blackouts), WaitReason.BLACKOUT.value), else_=WaitReason.QUIET_HOURS.value)
    open_at = sa.case((o.open_at > o.at, o.open_at)).label("open_at")
    shut_at = _shut_at(opened, windows, blackouts).label("shut_at")
    return sa.select(o.zone, o.at, open_at, why.label("why"), shut_at).offset(_NOUGHT).cte("clocks")


def _steps(windows: Sequence[Window], blackouts: Sequence[Blackout]) -> Sequence[Callable[[Column, Column], Column]]:
    """What takes an instant to the first one outside them all, a common table each: nested they are too deep for SQLite.

    Behind two blackouts that follow one another the next reserve asks anew.
    """
    spans = [(clock_micros(one.start), clock_micros(one.end)) for one in blackouts]
    leave_blackout = [partial(localtime.leave_spans, spans=spans)] if spans else []
    leave_windows = [partial(localtime.leave_window, windows=windows)] * (len(windows) + 1 if windows else 0)
    return (leave_blackout + leave_windows) * (2 if spans else 1)


def _in_blackout(clock: Column, blackouts: Sequence[Blackout]) -> sa.ColumnElement[bool]:
    inside = [sa.and_(clock >= clock_micros(b.start), clock < clock_micros(b.end)) for b in blackouts]
    return sa.or_(sa.false(), *inside)


def _shut_at(asked: sa.CTE, windows: Sequence[Window], blackouts: Sequence[Blackout]) -> Column:
    a = asked.c
    found: Column = a.to_utc
    ahead = [a.at + (time_micros(window.start) - a.time + DAY) % DAY for window in windows]
    for one in blackouts:
        start = sa.literal(clock_micros(one.start), sa.BigInteger)
        ahead.append(sa.case((start > a.clock, start - a.offset), else_=a.to_utc))
    for instant in ahead:
        found = sa.case((instant < found, instant), else_=found)
    return found

"""Whose day it is: the people of a `date` entry, found by the days that the wanted one can be counted from."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from carillon.audience.fields import BUILT_IN
from carillon.definition.entries import OnDate
from carillon.journey.everybody import everybody
from carillon.journey.ground import Ground
from carillon.kernel.clock import DAY
from carillon.kernel.time.calendar import add_months, clock_micros
from carillon.store import localtime
from carillon.store import tables as t
from carillon.store.json import integer_at, text_at

Column = sa.ColumnElement[Any]
EPOCH = date(1970, 1, 1)


def dated(ground: Ground, entry: OnDate, days: Sequence[date]) -> sa.Select[Any]:
    """Everybody in the audience to whom the entry comes on one of these days; they arrive at its clock time.

    A clock time that had come to somebody before the first apply is past for them.
    """
    nothing = sa.cast(sa.null(), sa.BigInteger())
    # The fence of `localtime._given`: without it PostgreSQL reads the clock anew for each day that it is compared with.
    asked = (
        everybody(ground, nothing).add_columns(_value(entry).label("day_of")).offset(sa.literal_column("0", sa.Integer))
    )
    rows = asked.subquery("asked")
    clocks = [
        (
            _falls_on(entry, rows.c.day_of, day),
            sa.literal(clock_micros(datetime.combine(day, entry.at)), sa.BigInteger()),
        )
        for day in days
    ]
    zone: Column = rows.c.zone if entry.zone == "contact" else sa.literal(ground.rules.timezone)
    arrived_at = localtime.local_to_utc(zone, sa.case(*clocks) if len(clocks) > 1 else clocks[0][1])
    others = (column for column in rows.c if column.name not in ("arrived_at", "day_of"))
    theirs = sa.select(*others, arrived_at.label("arrived_at")).where(sa.or_(*(is_day for is_day, _ in clocks)))
    come = theirs.subquery("come")
    return sa.select(come).where(come.c.arrived_at >= ground.applied.first_applied_at)


def counted_from(entry: OnDate, day: date) -> list[date]:
    """The days that lie the entry's offset away from this one; after months several can end on one day, or none."""
    if not entry.offset.months:
        return [day - timedelta(seconds=entry.offset.seconds)]
    near = add_months(day, -entry.offset.months)
    around = (near + timedelta(days=n) for n in range(-3, 4))
    return [one for one in around if add_months(one, entry.offset.months) == day]


def _value(entry: OnDate) -> Column:
    """The field: the text of a date, or the number of the day that the contact's clock showed at an instant."""
    c, s = t.contact.c, t.standing.c
    if entry.type == "date":
        return text_at(c.attrs, (entry.field,))
    instant = c[BUILT_IN[entry.field]] if entry.field in BUILT_IN else integer_at(c.attrs, (entry.field,))
    return localtime.utc_to_local(s.zone, instant) // sa.literal_column(str(DAY), sa.BigInteger)


def _falls_on(entry: OnDate, value: Column, day: date) -> Column:
    days = counted_from(entry, day)
    if entry.type == "instant":
        return value.in_([number for one in days for number in _day_numbers(one, yearly=entry.yearly)])
    if not entry.yearly:
        return value.in_([one.isoformat() for one in days])
    return sa.or_(
        sa.false(),
        *(
            # A date that has not come yet has no anniversaries before it.
            sa.and_(sa.func.substr(value, 6, 5).in_(list(_shown(one))), sa.func.substr(value, 1, 4) <= f"{one.year:04}")
            for one in days
        ),
    )


def _shown(day: date) -> Iterator[str]:
    """The days of the year that are celebrated on this one: who was born on 29 February, on the 28th in common years."""
    yield f"{day:%m-%d}"
    if (day.month, day.day) == (2, 28) and not isleap(day.year):
        yield "02-29"


def _day_numbers(day: date, *, yearly: bool) -> Iterator[int]:
    """The day, or the same day in each year before it, as days since 1970."""
    if not yearly:
        yield (day - EPOCH).days
        return
    for year in range(EPOCH.year, day.year):
        for shown in _shown(day):
            month, number = int(shown[:2]), int(shown[3:])
            if (month, number) != (2, 29) or isleap(year):
                yield (date(year, month, number) - EPOCH).days

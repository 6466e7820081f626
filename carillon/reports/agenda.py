"""The calendar as a page, and as iCalendar (RFC 5545) for the calendars that people have anyway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from carillon.foresight.calendar import Calendar, Planned, Steady
from carillon.kernel import counting
from carillon.kernel.clock import from_micros
from carillon.kernel.ids import hash64
from carillon.reports.page import environment


@dataclass(frozen=True, slots=True)
class Day:
    """One day with what goes out on it, on the workspace's clock."""

    date: date
    planned: tuple[Planned, ...]


def days_of(calendar: Calendar) -> Iterator[Day]:
    """Every day of the calendar, the empty ones too."""
    zone = ZoneInfo(calendar.timezone)
    by_day: dict[date, list[Planned]] = {}
    for planned in calendar.planned:
        by_day.setdefault(from_micros(planned.at).astimezone(zone).date(), []).append(planned)
    day, last = (from_micros(at).astimezone(zone).date() for at in (calendar.at, calendar.until))
    while day <= last:
        yield Day(day, tuple(by_day.get(day, ())))
        day += timedelta(days=1)


def agenda(calendar: Calendar) -> str:
    """One HTML page, a line a day; everything is escaped."""
    days = list(days_of(calendar))
    before = [None] * (days[0].date.weekday() if days else 0)
    words = {"people": people, "a_day": a_day}
    return environment().get_template("agenda.html").render(calendar=calendar, days=days, before=before, **words)


def ics(calendar: Calendar) -> bytes:
    """One event each, half an hour long, under an id that stays: an import once more changes it instead of doubling it."""
    from icalendar import Calendar as Written
    from icalendar import Event

    written = Written()
    written.add("prodid", "-//Carillon//carillon calendar//EN")
    written.add("version", "2.0")
    for planned in calendar.planned:
        at = from_micros(planned.at)
        event = Event()
        event.add("uid", f"{planned.campaign}-{planned.at}-{hash64(planned.what)}@carillon")
        event.add("dtstamp", from_micros(calendar.at))
        event.add("dtstart", at)
        event.add("dtend", at + timedelta(minutes=30))
        event.add("summary", f"{planned.title}: {people(planned)}{' as of today' if planned.is_forecast else ''}")
        event.add("description", planned.what)
        written.add_component(event)
    return bytes(written.to_ical())


def a_day(steady: Steady) -> str:
    """How many people come in a day, whole where there are many."""
    if not steady.a_day:
        return "nobody in the last 30 days"
    n = f"{steady.a_day:.1f}" if steady.a_day < 10 else f"{steady.a_day:,.0f}"
    return f"{'fewer than 0.1' if steady.a_day < 0.1 else f'about {n}'} people a day, as in the last 30 days"


def people(planned: Planned) -> str:
    """How many, and how sure: "about" is the audience as it is today."""
    n = counting.people(planned.people)
    return f"about {n}" if planned.is_forecast else n

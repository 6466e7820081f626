"""Local time as SQL gives, row for row, what the plain module gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.kernel.clock import HOUR, Micros, to_micros
from carillon.kernel.time import calendar
from carillon.kernel.time import windows as plain
from carillon.kernel.time.calendar import clock_micros
from carillon.kernel.time.periods import ALWAYS_BEFORE, zone_periods
from carillon.kernel.time.windows import Window
from carillon.store import localtime
from carillon.store.engine import Store
from carillon.store.tables import setting, zone_period

ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns",
    "Asia/Kathmandu", "Pacific/Apia", "Pacific/Chatham", "Africa/Cairo", "America/Havana", "UTC",
]  # fmt: skip
LAST = to_micros(datetime(2049, 1, 1, tzinfo=UTC))
CHANGES = [(row.zone, row.from_utc) for row in zone_periods(ZONES) if ALWAYS_BEFORE < row.from_utc < LAST]
FIRST = to_micros(datetime(2001, 1, 1, tzinfo=UTC))

anywhen = st.tuples(st.sampled_from(ZONES), st.integers(FIRST, LAST))
near_a_change = st.tuples(st.sampled_from(CHANGES), st.integers(-30 * HOUR, 30 * HOUR)).map(
    lambda drawn: (drawn[0][0], max(drawn[0][1] + drawn[1], FIRST))
)
cases = st.lists(st.one_of(anywhen, near_a_change), min_size=1, max_size=30)
times = st.integers(0, 1439).map(lambda minute: time(minute // 60, minute % 60))
windows = st.lists(times, min_size=2, max_size=2, unique=True).map(lambda pair: Window(*pair))


@pytest.fixture
def ask(store: Store) -> Any:
    """Evaluates an SQL expression for a list of (zone, instant) on either store."""
    with store.write("core") as connection:
        localtime.ensure_zone_periods(connection, ZONES)

    def evaluate(
        asked: list[tuple[str, Micros]], expression: Callable[[sa.ColumnElement[str], sa.ColumnElement[int]], Any]
    ) -> list[Any]:
        values = (
            sa.values(sa.column("no", sa.BigInteger), sa.column("zone", sa.String), sa.column("at", sa.BigInteger))
            .data([(no, zone, at) for no, (zone, at) in enumerate(asked)])
            .cte("asked")
        )
        select = sa.select(expression(values.c.zone, values.c.at)).select_from(values).order_by(values.c.no)
        with store.read() as connection:
            return list(connection.scalars(select))

    return evaluate


quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quickly
@given(cases)
def test_the_clock_of_an_instant(ask: Any, asked: list[tuple[str, Micros]]) -> None:
    """Local time is the same in SQL and Python, near changes too."""
    assert ask(asked, localtime.utc_to_local) == [clock_micros(calendar.utc_to_local(z, at)) for z, at in asked]


@quickly
@given(cases)
def test_the_instant_of_a_clock_time(ask: Any, asked: list[tuple[str, Micros]]) -> None:
    """Gaps end at their end, repeated times are the first."""
    clocks = [(z, at - at % 60_000_000) for z, at in asked]
    as_datetime = [datetime.fromtimestamp(at // 1_000_000, UTC).replace(tzinfo=None) for _, at in clocks]
    expected = [calendar.local_to_utc(z, local) for (z, _), local in zip(clocks, as_datetime, strict=True)]
    assert ask(clocks, localtime.local_to_utc) == expected


@quickly
@given(cases, st.integers(-400, 400), st.none() | times)
def test_days_at(ask: Any, asked: list[tuple[str, Micros]], days: int, at: time | None) -> None:
    """Calendar days at a clock time, or at the same one."""
    sql = ask(asked, lambda zone, start: localtime.days_at(zone, start, days, at))
    assert sql == [calendar.days_at(z, start, days, at) for z, start in asked]


@quickly
@given(cases, st.integers(-12, 20))
def test_add_months(ask: Any, asked: list[tuple[str, Micros]], months: int) -> None:
    """Calendar months on the contact's clock, at most the last day of the month."""
    sql = ask(asked, lambda zone, at: localtime.add_months(zone, at, months))
    assert sql == [calendar.add_span(z, at, months=months) for z, at in asked]


@quickly
@given(st.sampled_from(ZONES), st.datetimes(datetime(2002, 1, 1), datetime(2049, 1, 1)))  # noqa: DTZ001 - clock times
def test_at_local(ask: Any, zone_name: str, local: datetime) -> None:
    """One clock time in many zones."""
    sql = ask([(zone_name, 0)], lambda zone, _at: localtime.at_local(zone, local))
    assert sql == [calendar.local_to_utc(zone_name, local)]


@quickly
@given(cases, st.sets(st.integers(0, 6), min_size=1), times)
def test_next_weekday_at(ask: Any, asked: list[tuple[str, Micros]], weekdays: set[int], at: time) -> None:
    """Today if still ahead, else the next of these days."""
    sql = ask(asked, lambda zone, start: localtime.next_weekday_at(zone, start, weekdays, at))
    assert sql == [calendar.next_weekday_at(z, start, weekdays, at) for z, start in asked]


@quickly
@given(cases, st.lists(windows, min_size=1, max_size=2))
def test_next_allowed(ask: Any, asked: list[tuple[str, Micros]], forbidden: list[Window]) -> None:
    """Quiet hours end at the same instant in SQL and Python, and are seen in the same rows."""
    if plain.union_is_whole_day(forbidden):
        return
    expected = [plain.next_allowed(z, at, forbidden) for z, at in asked]
    assert ask(asked, lambda zone, at: localtime.next_allowed(zone, at, forbidden)) == expected
    quiet = ask(asked, lambda zone, at: localtime.is_in_window(zone, at, forbidden))
    assert [bool(answer) for answer in quiet] == [found != at for found, (_, at) in zip(expected, asked, strict=True)]


@quickly
@given(cases, st.sampled_from(["day", "week", "month"]))
def test_calendar_periods(ask: Any, asked: list[tuple[str, Micros]], period: Any) -> None:
    """Day, week and month begin and end at the same instants in SQL and Python."""
    starts = ask(asked, lambda zone, at: localtime.period_start(zone, at, period))
    ends = ask(asked, lambda zone, at: localtime.period_end(zone, at, period))
    assert starts == [calendar.period_start(z, at, period) for z, at in asked]
    assert ends == [calendar.period_end(z, at, period) for z, at in asked]


def test_a_clock_time_before_1970(ask: Any) -> None:
    """Negative instants are divided downwards like the others."""
    at = to_micros(datetime(1960, 2, 29, 12, tzinfo=UTC))
    assert ask([("UTC", at)], lambda zone, at: localtime.period_start(zone, at, "month")) == [
        to_micros(datetime(1960, 2, 1, tzinfo=UTC))
    ]


def test_no_quiet_hours_change_nothing(ask: Any) -> None:
    """Without a window the instant itself comes back; with nothing but windows it is refused."""
    assert ask([("UTC", 5)], lambda zone, at: localtime.next_allowed(zone, at, [])) == [5]
    with pytest.raises(ValueError, match="no minute"):
        localtime.next_allowed(sa.literal("UTC"), sa.literal(1), [Window(time(8), time(20)), Window(time(20), time(8))])


def test_it_stands_in_an_update(store: Store) -> None:
    """`UPDATE … SET due = days_at(zone, due, …)` works on the updated row's own columns."""
    with store.write("core") as connection:
        localtime.ensure_zone_periods(connection, ["Europe/Berlin"])
        period = zone_period.c
        moved = localtime.days_at(period.zone, period.from_utc, 1, time(9))
        start = to_micros(datetime.fromisoformat("2026-03-29T01:00+00:00"))
        connection.execute(sa.update(zone_period).where(period.from_utc == start).values(to_utc=moved))
        found = connection.scalar(sa.select(period.to_utc).where(period.from_utc == start))
    assert found == to_micros(datetime.fromisoformat("2026-03-30T07:00+00:00"))


def test_periods_are_filled_once_and_anew_after_an_update_of_tzdata(store: Store) -> None:
    """Repeating writes nothing; another edition rewrites the zones that are in use."""
    with store.write("core") as connection:
        assert localtime.ensure_zone_periods(connection, ["Europe/Berlin"]) == 103
        assert localtime.ensure_zone_periods(connection, ["Europe/Berlin"]) == 0
        assert localtime.ensure_zone_periods(connection, ["UTC", "Europe/Berlin"]) == 1
        connection.execute(sa.update(setting).where(setting.c.name == "tzdata").values(value="2019a"))
        connection.execute(sa.update(zone_period).values(offset=0))
        assert localtime.ensure_zone_periods(connection, []) == 104
        assert connection.scalar(sa.select(sa.func.max(zone_period.c.offset))) == 2 * HOUR

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.kernel.clock import DAY, HOUR, MINUTE, to_micros
from carillon.kernel.time.calendar import (
    clock_micros,
    days_at,
    local_to_utc,
    next_weekday_at,
    period_end,
    period_start,
    utc_to_local,
)
from carillon.kernel.time.occurrences import Monthly, Weekly, next_occurrence, occurrences
from carillon.kernel.time.periods import ALWAYS_AFTER, ALWAYS_BEFORE, zone_periods
from carillon.kernel.time.resolve import ResolvedZone, country_of_phone, country_zone, resolve_zone
from carillon.kernel.time.windows import Window, next_allowed
from carillon.kernel.time.zones import UnknownZoneError, is_zone, offset_at, tzdata_version, zone, zone_names

ZONES = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns",
    "Asia/Kathmandu", "Pacific/Apia", "Pacific/Chatham", "Africa/Cairo", "America/Havana", "UTC",
]  # fmt: skip
zones = st.sampled_from(ZONES)
instants = st.integers(to_micros(datetime.fromisoformat("2001-01-01T00:00+00:00")), 2_524_600_000_000_000)
clock_times = st.datetimes(datetime.fromisoformat("2001-01-01"), datetime.fromisoformat("2049-12-31"))
times = st.times().map(lambda at: at.replace(second=0, microsecond=0))
windows = st.lists(times, min_size=2, max_size=2, unique=True).map(lambda pair: Window(*pair))


def changes(name: str) -> list[int]:
    return [row.from_utc for row in zone_periods([name]) if row.from_utc != ALWAYS_BEFORE]


@given(zones, clock_times)
def test_a_clock_time_is_the_first_instant_that_shows_it_or_more(name: str, local: datetime) -> None:
    """No earlier instant shows this clock time, and this one shows it, or the end of the gap that swallowed it."""
    at = local_to_utc(name, local)
    assert utc_to_local(name, at) >= local
    assert utc_to_local(name, at - 1) < local
    if utc_to_local(name, at) != local:
        assert at in changes(name)


@given(zones, instants)
def test_an_instant_returns_unless_its_clock_time_came_before(name: str, at: int) -> None:
    """Local time there and back is the same instant, or the first of the two that show it."""
    back = local_to_utc(name, utc_to_local(name, at))
    assert back <= at
    assert utc_to_local(name, back) == utc_to_local(name, at)


@settings(max_examples=50)
@given(zones, st.integers(0, 200), st.integers(-3 * HOUR, 3 * HOUR))
def test_periods_say_what_the_zone_says(name: str, number: int, away: int) -> None:
    """Around every change the rows give the offset that the zone gives."""
    rows = list(zone_periods([name]))
    row = rows[number % len(rows)]
    at = max(row.from_utc, to_micros(datetime.fromisoformat("2000-01-01T00:00+00:00"))) + abs(away)
    holder = next(row for row in rows if row.from_utc <= at < row.to_utc)
    assert holder.offset == offset_at(name, at)


def test_periods_cover_all_time_without_hole_or_overlap() -> None:
    """No join over zone_period can lose or double a contact."""
    for name in ZONES:
        rows = list(zone_periods([name, name]))
        assert rows[0].from_utc == ALWAYS_BEFORE
        assert rows[-1].to_utc == ALWAYS_AFTER
        assert [row.to_utc for row in rows[:-1]] == [row.from_utc for row in rows[1:]]
        assert all(a.offset != b.offset for a, b in pairwise(rows))


def test_berlin_changes_its_clock_twice_a_year() -> None:
    """51 years from 2000 to 2050 are 102 changes, so 103 periods."""
    assert len(list(zone_periods(["Europe/Berlin"]))) == 103
    assert len(list(zone_periods(["Asia/Kathmandu", "UTC"]))) == 2


@given(zones, instants, st.sets(st.integers(0, 6), min_size=1), times)
def test_the_next_weekday_is_ahead_and_nothing_lies_between(name: str, start: int, days: set[int], at: time) -> None:
    """It is the earliest of the next nine days' candidates that is later than the start."""
    today = utc_to_local(name, start).date()
    candidates = [days_at(name, start, n, at) for n in range(9) if (today + timedelta(days=n)).weekday() in days]
    assert next_weekday_at(name, start, days, at) == min(found for found in candidates if found > start)


@given(zones, instants, st.lists(windows, max_size=3))
def test_the_next_allowed_instant_is_allowed_and_the_minutes_before_it_are_not(
    name: str, at: int, forbidden: list[Window]
) -> None:
    """Outside all windows; and if it waited, the last microsecond before was inside one."""
    try:
        found = next_allowed(name, at, forbidden)
    except ValueError:
        minutes = [time(n // 60, n % 60) for n in range(1440)]
        assert all(any(window.holds(minute) for window in forbidden) for minute in minutes)
        return
    assert found >= at
    assert not any(window.holds(utc_to_local(name, found).time()) for window in forbidden)
    if found > at:
        assert any(window.holds(utc_to_local(name, found - 1).time()) for window in forbidden)


def test_two_windows_can_forbid_the_whole_day() -> None:
    """What would never send is refused, not waited for."""
    with pytest.raises(ValueError, match="no minute of the day"):
        next_allowed("UTC", 0, [Window(time(8), time(20)), Window(time(20), time(8))])
    with pytest.raises(ValueError, match="all day or never"):
        Window(time(8), time(8))


@given(zones, instants, st.sampled_from(["day", "week", "month"]))
def test_an_instant_lies_in_its_period(name: str, at: int, period: str) -> None:
    """start <= instant < end, periods follow one another without a hole."""
    start, end = period_start(name, at, period), period_end(name, at, period)  # type: ignore[arg-type]
    assert start <= at < end
    assert period_start(name, end, period) == end  # type: ignore[arg-type]
    assert period_end(name, start, period) == end  # type: ignore[arg-type]


def test_occurrences_follow_the_rule() -> None:
    """Mondays and Thursdays at 09:00 in Berlin over the change to summer time."""
    start = to_micros(datetime.fromisoformat("2026-03-23T09:00+01:00"))
    found = list(occurrences(Weekly(time(9), (0, 3)), "Europe/Berlin", start, start + 14 * DAY))
    assert [utc_to_local("Europe/Berlin", at).isoformat(" ", "minutes") for at in found] == [
        "2026-03-26 09:00", "2026-03-30 09:00", "2026-04-02 09:00", "2026-04-06 09:00",
    ]  # fmt: skip
    assert found[1] - found[0] == 4 * DAY - HOUR


def test_a_monthly_rule_never_skips_a_month() -> None:
    """The 30th of every month is the 28th of February."""
    rule, at, days = Monthly(time(6), day=30), to_micros(datetime.fromisoformat("2026-01-01T00:00+00:00")), []
    for _ in range(4):
        at = next_occurrence(rule, "UTC", at)
        days.append(utc_to_local("UTC", at).date())
    assert days == [date(2026, 1, 30), date(2026, 2, 28), date(2026, 3, 30), date(2026, 4, 30)]


def test_rules_refuse_days_that_do_not_exist() -> None:
    """A rule that can never come due is an error where it is made."""
    for wrong in (lambda: Weekly(time(9), ()), lambda: Weekly(time(9), (7,)), lambda: Monthly(time(9), day=32)):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(ValueError, match="weekdays"):
        next_weekday_at("UTC", 0, [], time(9))


@pytest.mark.parametrize(
    "own, phone_country, country, zone_name, source",
    [
        ("Asia/Tokyo", "DE", "FR", "Asia/Tokyo", "contact"),
        ("Berlin", "NO", "FR", "Europe/Oslo", "phone"),
        (None, "US", "FR", "Europe/Paris", "country"),
        ("", None, "ES", "Europe/Berlin", "workspace"),
        (None, None, None, "Europe/Berlin", "workspace"),
    ],
)
def test_a_zone_and_its_source(
    own: str | None, phone_country: str | None, country: str | None, zone_name: str, source: str
) -> None:
    """Own, then the phone's country, then the country, then the workspace; where there are several zones: the next."""
    found = resolve_zone(own=own, phone_country=phone_country, country=country, workspace="Europe/Berlin")
    assert (found.zone, found.source) == (zone_name, source)
    assert isinstance(found, ResolvedZone)


def test_a_country_has_one_zone_if_its_clocks_go_alike() -> None:
    """Büsingen keeps Berlin's time; the Canaries do not keep Madrid's."""
    answers = {"DE": "Europe/Berlin", "NO": "Europe/Oslo", "FR": "Europe/Paris", "ES": None, "US": None, "XX": None}
    assert {country: country_zone(country) for country in answers} == answers


def test_a_phone_has_a_country_or_none() -> None:
    """Free-phone numbers and nonsense belong nowhere; +1 is told apart by its area."""
    numbers = {"+4915112345678": "DE", "+14165550123": "CA", "+14155550123": "US", "+80012345678": None, "x": None}
    assert {number: country_of_phone(number) for number in numbers} == numbers


def test_zones_come_from_the_wheel_and_by_exact_name() -> None:
    """Names are not paths, and not guessed."""
    assert zone("Europe/Berlin").key == "Europe/Berlin"
    assert is_zone("Asia/Kathmandu")
    assert len(zone_names()) > 400
    assert tzdata_version() >= "2026a"
    for wrong in ("europe/berlin", "../zones", "", "Berlin"):
        with pytest.raises(UnknownZoneError):
            zone(wrong)


def test_clock_micros_is_the_clock_read_as_utc() -> None:
    """What SQL calculates with."""
    assert clock_micros(datetime.fromisoformat("1970-01-01 00:01")) == MINUTE

"""Entries by the calendar that are not the same for everybody: `date`; and those for engineers: `cron`, `rrule`."""

from __future__ import annotations

import pytest

from tests.foresight.test_plan_counts import foresee
from tests.shop import DATA, Shop, instant

BORN = DATA.replace("points: number", "points: number, birthday: date, renewal: instant")
BIRTHDAYS = "audience: everyone\nentry: {date: birthday, every: year, at: 09:00%s}\njourney: [{email: cake}]\n"
RECURRING = "audience: everyone\nentry: {%s}\njourney: [{email: news}]\n"


def birthdays(shop: Shop, more: str = "", **born: str) -> Shop:
    """People by their birthdays, and a campaign applied on 2 November 2026 at noon in Berlin."""
    shop.write("data.yaml", BORN)
    for name, day in born.items():
        shop.contact(name, timezone="Europe/Berlin", birthday=day)
    shop.campaign("cake", BIRTHDAYS % more)
    shop.apply()
    shop.run("cake")
    return shop


def entered(shop: Shop) -> list[tuple[str, int, dict[str, int]]]:
    return [(ref, n, why) for _, ref, n, why in shop.waves() if n or why]


def test_a_birthday_comes_every_year_on_the_day(any_shop: Shop) -> None:
    """Whoever was born on that day in whatever year; nobody on the day before or after it."""
    shop = birthdays(any_shop, ada="1990-11-05", bob="1990-11-06", cy="2001-11-05", dan="1990-12-05")
    shop.contact("eve")
    shop.run_to("cake", "2026-11-05 10:00")
    assert sorted(shop.inbox) == ["ada", "cy"]
    shop.run_to("cake", "2026-11-07 00:00")
    assert entered(shop) == [("2026-11-05", 2, {}), ("2026-11-06", 1, {})]
    shop.run("cake", "2027-11-05 09:00")
    assert shop.inbox.count("ada") == 2


def test_a_week_before_is_counted_back_over_the_new_year(any_shop: Shop) -> None:
    shop = birthdays(any_shop, ", offset: -7d", ada="1990-01-02", bob="1990-12-31")
    shop.run("cake", "2026-12-24 09:00")
    shop.run("cake", "2026-12-26 09:00")
    assert shop.inbox == ["bob", "ada"]
    assert [entry for entry, *_ in shop.waves()][-1] == "date:birthday-7d"


def test_29_february_celebrates_on_the_28th_in_common_years(any_shop: Shop) -> None:
    shop = birthdays(any_shop, leap="2000-02-29", last="2000-02-28")
    shop.run("cake", "2027-02-28 09:00")
    assert sorted(shop.inbox) == ["last", "leap"]
    shop.run("cake", "2028-02-28 09:00")
    assert sorted(shop.inbox) == ["last", "last", "leap"]
    shop.run("cake", "2028-02-29 09:00")
    assert sorted(shop.inbox) == ["last", "last", "leap", "leap"]


def test_a_date_is_on_each_contacts_own_clock(any_shop: Shop) -> None:
    """One wave a day, frozen when the day's hour comes to the first zone; each gets it at their own nine."""
    any_shop.write("data.yaml", BORN)
    for name, zone in (("yuki", "Asia/Tokyo"), ("emil", "Europe/Berlin"), ("nora", "America/New_York")):
        any_shop.contact(name, timezone=zone, birthday="1990-11-05")
    any_shop.campaign("cake", BIRTHDAYS % "")
    any_shop.apply()
    any_shop.run("cake")
    seen = []
    for when in ("2026-11-05 00:00+00:00", "2026-11-05 08:00+00:00", "2026-11-05 14:00+00:00"):
        any_shop.run("cake", when)
        seen.append(list(any_shop.inbox))
    assert seen == [["yuki"], ["yuki", "emil"], ["yuki", "emil", "nora"]]


def test_a_day_missed_by_some_hours_is_still_the_day_and_the_next_is_too_late(any_shop: Shop) -> None:
    """`if_late` of a date is the same local day: a machine that slept until the evening sends, one that slept on does not."""
    shop = birthdays(any_shop, ada="1990-11-05", bob="1990-11-07")
    shop.run("cake", "2026-11-05 23:30")
    assert shop.inbox == ["ada"]
    shop.run("cake", "2026-11-08 00:30")
    assert shop.inbox == ["ada"]
    assert entered(shop) == [("2026-11-05", 1, {}), ("2026-11-07", 0, {"late": 1})]


def test_a_machine_that_slept_over_tokyos_morning_forgets_nobody_whose_day_it_still_is(any_shop: Shop) -> None:
    """The next day's wave has begun in Tokyo while it is still the day before in New York: both are looked at."""
    any_shop.write("data.yaml", BORN)
    any_shop.contact("nora", timezone="America/New_York", birthday="1990-11-05")
    any_shop.contact("yuki", timezone="Asia/Tokyo", birthday="1990-11-06")
    any_shop.campaign("cake", BIRTHDAYS % "")
    any_shop.apply()
    any_shop.run("cake", "2026-11-04 23:00+00:00")
    any_shop.run("cake", "2026-11-06 01:00+00:00")
    assert sorted(any_shop.inbox) == ["nora", "yuki"]


def test_an_hour_that_is_past_at_the_first_apply_is_past(any_shop: Shop) -> None:
    """Applied at noon in Berlin: it is over for Berlin, and ahead for New York."""
    any_shop.write("data.yaml", BORN)
    any_shop.contact("emil", timezone="Europe/Berlin", birthday="1990-11-02")
    any_shop.contact("nora", timezone="America/New_York", birthday="1990-11-02")
    any_shop.campaign("cake", BIRTHDAYS % "")
    any_shop.apply()
    any_shop.run_to("cake", "2026-11-02 23:00")
    assert any_shop.inbox == ["nora"]


def test_without_every_the_date_counts_once(any_shop: Shop) -> None:
    any_shop.write("data.yaml", BORN)
    any_shop.contact("ada", timezone="Europe/Berlin", birthday="2026-11-05")
    any_shop.contact("bob", timezone="Europe/Berlin", birthday="2025-11-05")
    any_shop.campaign("cake", (BIRTHDAYS % "").replace(" every: year,", ""))
    any_shop.apply()
    any_shop.run("cake", "2026-11-05 09:00")
    any_shop.run("cake", "2027-11-05 09:00")
    assert any_shop.inbox == ["ada"]


def test_an_instant_is_the_day_that_the_contacts_clock_showed(any_shop: Shop) -> None:
    """Two o'clock in the night of the 5th in Berlin is the 4th in New York; a year with us is counted from the year after."""
    night = instant("2025-11-05 02:00")
    any_shop.write("data.yaml", BORN)
    any_shop.contact("emil", timezone="Europe/Berlin", created_at=night)
    any_shop.contact("nora", timezone="America/New_York", created_at=night)
    any_shop.contact("new", timezone="Europe/Berlin", created_at=instant("2026-11-05 08:00"))
    any_shop.campaign("year", "entry: {date: created_at, every: year, at: 09:00}\njourney: [{email: thanks}]\n")
    any_shop.apply()
    any_shop.run("year", "2026-11-04 20:00")
    assert any_shop.inbox == ["nora"]
    any_shop.run("year", "2026-11-05 20:00")
    assert any_shop.inbox == ["nora", "emil"]


def test_months_after_a_date_are_the_calendars(any_shop: Shop) -> None:
    """One month after 29, 30 and 31 January is 28 February."""
    any_shop.write("data.yaml", BORN)
    for day in (28, 29, 30, 31):
        any_shop.contact(f"d{day}", timezone="Europe/Berlin", birthday=f"2027-01-{day}")
    any_shop.contact("later", timezone="Europe/Berlin", birthday="2027-02-01")
    any_shop.campaign("care", "entry: {date: birthday, offset: 1mo, at: 09:00}\njourney: [{email: care}]\n")
    any_shop.apply()
    any_shop.run("care", "2027-02-28 09:00")
    assert sorted(any_shop.inbox) == ["d28", "d29", "d30", "d31"]


def test_plan_counts_the_days_of_a_month_ahead(any_shop: Shop) -> None:
    """A forecast: whose day comes in the next 30 days, and when the first and the last of them is due."""
    shop = birthdays(any_shop, ada="1990-11-05", bob="1990-11-30", cy="1990-12-20")
    seen = foresee(shop, "cake")
    assert (seen.matches, seen.enters) == (2, 2)
    assert (seen.first_due, seen.last_due) == (instant("2026-11-05 09:00"), instant("2026-11-30 09:00"))


@pytest.mark.parametrize(
    ("entry", "dates"),
    [
        ("cron: 0 9 * * 1-5", ["2026-11-03T09:00:00", "2026-11-04T09:00:00", "2026-11-05T09:00:00", "2026-11-06T09:00:00"]),
        ("rrule: FREQ=MONTHLY;BYDAY=1FR;BYHOUR=10;BYMINUTE=30;BYSECOND=0", ["2026-11-06T10:30:00"]),
        ("rrule: 'DTSTART:20261103T080000\nRRULE:FREQ=DAILY;INTERVAL=3'", ["2026-11-03T08:00:00", "2026-11-06T08:00:00"]),
    ],
)  # fmt: skip
def test_engineers_write_cron_and_recurrence_rules(any_shop: Shop, entry: str, dates: list[str]) -> None:
    """Each occurrence is a wave of its own, on the workspace's clock; the same people come again."""
    any_shop.contact("ada")
    any_shop.campaign("news", RECURRING % entry.replace("'", '"').replace("\n", "\\n"))
    any_shop.apply()
    any_shop.run_to("news", "2026-11-07 00:00")
    assert [ref for _, ref, _, _ in any_shop.waves()] == dates
    assert any_shop.inbox == ["ada"] * len(dates)


def test_a_cron_hour_that_does_not_exist_comes_after_the_gap_and_one_that_comes_twice_comes_once(shop: Shop) -> None:
    shop.contact("ada")
    shop.campaign("night", RECURRING % "cron: 30 2 * * *")
    shop.apply()
    shop.run("night", "2027-03-27 12:00")
    assert shop.run("night").next_due == instant("2027-03-28 03:00")
    shop.run("night", "2027-10-30 12:00")
    before = len(shop.inbox)
    shop.run_to("night", "2027-10-31 12:00")
    assert len(shop.inbox) - before == 1


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("cron: 0 25 * * *", "no cron expression"),
        ('cron: "* * * * *"', "more than once an hour"),
        ("cron: 0 9 31 2 *", "bad day-of-month"),
        ("rrule: FREQ=WEEKLY;BYHOUR=9", "it depends on its first day"),
        ("rrule: FREQ=HOURLY", "FREQ must be one of"),
        ("date: tier, at: 09:00", "is a one_of, not a day"),
        ("date: birthdy, at: 09:00", 'no field "birthdy"'),
        ("date: birthday, at: 09:00, offset: -3h", "counted in days"),
    ],
)
def test_what_cannot_be_meant_is_said(shop: Shop, entry: str, said: str) -> None:
    from carillon.definition.load import load_workspace

    shop.write("data.yaml", BORN)
    shop.campaign("odd", RECURRING % entry)
    problems = load_workspace(shop.campaigns).errors
    assert len(problems) == 1
    assert said in problems[0].message

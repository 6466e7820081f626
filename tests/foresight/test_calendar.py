"""The calendar tells what the next weeks bring, and its dates are those on which a run does it."""

from __future__ import annotations

import pytest
from icalendar import Calendar as Written

from carillon.foresight.calendar import Calendar, Steady, calendar
from carillon.kernel.clock import DAY, from_micros
from carillon.plan.operate import set_operator_state
from carillon.reports.agenda import a_day, agenda, ics
from carillon.store.zones import ready_for_zones
from tests.shop import Shop, instant

LETTER = "audience: everyone\nentry: {every: thursday, at: 09:00}\njourney: [{email: letter}, {wait: {days: 3, at: 18:00}}, {email: more}]\n"
CART = "entry: {event: cart_updated, once_per: cart_id}\njourney: [{email: cart}]\n"


def look(shop: Shop, weeks: int = 4) -> Calendar:
    ready_for_zones(shop.store)
    return calendar(shop.store, shop.clock.now(), shop.clock.now() + weeks * 7 * DAY)


def rows(found: Calendar) -> list[tuple[str, str, int, bool]]:
    return [(f"{from_micros(p.at):%Y-%m-%d %H:%M}", p.campaign, p.people, p.is_forecast) for p in found.planned]


def test_every_occurrence_and_every_wait_of_the_next_weeks(any_shop: Shop) -> None:
    """Occurrences with today's audience, people under way with it; and the day on which their wait ends."""
    any_shop.clock.move_to(instant("2026-12-01 12:00"))
    any_shop.people(5)
    any_shop.campaign("letter", LETTER)
    any_shop.apply()
    assert rows(look(any_shop, 2)) == [
        ("2026-12-03 08:00", "letter", 5, True), ("2026-12-10 08:00", "letter", 5, True),
    ]  # fmt: skip
    any_shop.run_to("letter", "2026-12-03 10:00")
    assert rows(look(any_shop, 1)) == [
        ("2026-12-06 18:00", "letter", 5, False),
        ("2026-12-10 08:00", "letter", 5, True),
    ]


def test_what_has_no_date_has_a_usual_number(shop: Shop) -> None:
    """Thirty carts in thirty days are one a day."""
    shop.clock.move_to(instant("2026-12-01 12:00"))
    shop.people(30)
    for n in range(30):
        shop.event(f"p{n + 1:04}", "cart_updated", f"2026-11-{n % 28 + 2:02} 10:00", cart_id=f"c{n}", total=30)
    shop.campaign("cart", CART)
    shop.apply()
    found = look(shop)
    assert (rows(found), [(s.campaign, s.a_day) for s in found.steady]) == ([], [("cart", 1.0)])


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (0.0, "nobody in the last 30 days"), (1 / 30, "fewer than 0.1 people a day, as in the last 30 days"),
        (1.5, "about 1.5 people a day, as in the last 30 days"), (1374.6, "about 1,375 people a day, as in the last 30 days"),
    ],
)  # fmt: skip
def test_a_usual_number_is_no_finer_than_it_is_known(n: float, said: str) -> None:
    assert a_day(Steady("cart", "Cart", "when cart_updated happens", n)) == said


def test_a_paused_campaign_plans_nothing(shop: Shop) -> None:
    """What the operator has stopped does not stand in the calendar as if it came."""
    shop.clock.move_to(instant("2026-12-01 12:00"))
    shop.people(2)
    shop.campaign("letter", LETTER)
    shop.apply()
    set_operator_state(shop.store, ["letter"], "paused", who="ann", at=shop.clock.now())
    assert rows(look(shop)) == []


def test_without_campaigns_it_says_what_to_do(shop: Shop) -> None:
    with pytest.raises(LookupError, match="nothing is applied yet"):
        look(shop)


def test_other_calendars_read_it(shop: Shop) -> None:
    """iCalendar, read back by a library; the same occurrence has the same id however often it is written."""
    shop.clock.move_to(instant("2026-12-01 12:00"))
    shop.people(2)
    shop.campaign("letter", "title: <Letter>, weekly\n" + LETTER)
    shop.apply()
    found = look(shop, 1)
    [event] = Written.from_ical(ics(found)).walk("VEVENT")
    assert (str(event["summary"]), f"{event.decoded('dtstart'):%Y-%m-%d %H:%M %Z}") == (
        "<Letter>, weekly: about 2 people as of today", "2026-12-03 08:00 UTC",
    )  # fmt: skip
    assert ics(found) == ics(look(shop, 1))
    assert "&lt;Letter&gt;, weekly" in agenda(found)
    assert "<Letter>" not in agenda(found)

"""Waits for a date of the contact's own, and what becomes of those for whom it is past (language.md §2, §3.1)."""

from __future__ import annotations

import pytest

from tests.shop import DATA, Shop, instant

FIELDS = DATA.replace("points: number", "points: number, birthday: date, check_in: date, trial_ends: instant")


def start(shop: Shop, wait: str, entry: str = "{at: 2026-12-01 09:00}") -> None:
    shop.write("data.yaml", FIELDS)
    shop.campaign("stay", f"audience: everyone\nentry: {entry}\njourney:\n  - wait: {wait}\n  - email: soon\n")


@pytest.mark.parametrize(
    ("wait", "due"),
    [
        ("{until: {date: check_in}, at: 09:00}", "2026-12-20 09:00"),
        ("{until: {date: check_in, offset: -3d}, at: 09:00}", "2026-12-17 09:00"),
        ("{until: {date: check_in, offset: 1mo}, at: 18:30}", "2027-01-20 18:30"),
        ("{until: {date: trial_ends}}", "2026-12-24 18:15"),
        ("{until: {date: trial_ends, offset: -6h}}", "2026-12-24 12:15"),
        ("{until: {date: trial_ends, offset: -1d}, at: 09:00}", "2026-12-23 09:00"),
    ],
)
def test_a_wait_ends_at_the_contacts_own_date(any_shop: Shop, wait: str, due: str) -> None:
    start(any_shop, wait)
    any_shop.contact("ada", check_in="2026-12-20", trial_ends=instant("2026-12-24 18:15+00:00"))
    any_shop.apply()
    any_shop.run("stay", "2026-12-01 09:00")
    assert any_shop.due("ada") == due


def test_who_is_told_another_date_waits_for_that(any_shop: Shop) -> None:
    """Later, and earlier: ada's stay is put off, bob's is put forward."""
    start(any_shop, "{until: {date: check_in, offset: -1d}, at: 09:00}")
    any_shop.contact("ada", check_in="2026-12-10")
    any_shop.contact("bob", check_in="2026-12-30")
    any_shop.apply()
    any_shop.run("stay", "2026-12-01 09:00")
    any_shop.at("2026-12-05 12:00")
    any_shop.change("ada", check_in="2026-12-15")
    any_shop.change("bob", check_in="2026-12-12")
    any_shop.run("stay")
    assert (any_shop.due("ada"), any_shop.due("bob")) == ("2026-12-14 09:00", "2026-12-11 09:00")
    any_shop.run("stay", "2026-12-11 10:00")
    assert any_shop.inbox == ["bob"]


def test_a_date_that_is_past_or_missing_lets_people_go(any_shop: Shop) -> None:
    start(any_shop, "{until: {date: check_in}, at: 09:00}")
    any_shop.contact("late", check_in="2026-11-20")
    any_shop.contact("none")
    any_shop.contact("soon", check_in="2026-12-02")
    any_shop.apply()
    any_shop.run("stay", "2026-12-01 09:00")
    assert any_shop.enrolments == {"late": "date_past", "none": "no_date", "soon": "wait.entry"}


def test_if_past_go_on_takes_them_on_at_once(any_shop: Shop) -> None:
    start(any_shop, "{until: {date: check_in}, at: 09:00, if_past: go_on}")
    any_shop.contact("late", check_in="2026-11-20")
    any_shop.contact("none")
    any_shop.apply()
    any_shop.run("stay", "2026-12-01 09:00")
    assert sorted(any_shop.inbox) == ["late", "none"]


def test_by_a_date_of_every_year_it_is_this_years(any_shop: Shop) -> None:
    """Entered seven days before the birthday, waiting for it: 1990 is not meant; 29 February is the 28th in 2027."""
    wait = "{until: {date: birthday}, at: 10:00, if_past: go_on}"
    start(any_shop, wait, "{date: birthday, every: year, offset: -7d, at: 09:00}")
    any_shop.contact("ada", birthday="1990-01-03")
    any_shop.contact("leap", birthday="1992-02-29")
    any_shop.apply()
    any_shop.run("stay", "2026-12-27 10:30")
    any_shop.run("stay", "2027-02-21 10:30")
    assert any_shop.due("leap") == "2027-02-28 10:00"
    assert any_shop.inbox == ["ada"]


@pytest.mark.parametrize(("if_past", "due"), [("next", "2026-12-08 07:30"), ("go_on", None), ("exit", None)])
def test_behind_the_clock_time_of_the_weekday(any_shop: Shop, if_past: str, due: str | None) -> None:
    """1 December 2026 is a Tuesday: at 08:00 in London 07:30 is over, 08:30 is not."""
    start(any_shop, f"{{until: tuesday, at: 07:30, if_past: {if_past}}}")
    any_shop.contact("ada")
    any_shop.apply()
    any_shop.run("stay", "2026-12-01 09:00")
    told = {"next": "wait.entry", "go_on": "finished", "exit": "date_past"}
    assert any_shop.enrolments == {"ada": told[if_past]}
    assert any_shop.due("ada") == due


def test_a_weekday_still_ahead_is_today_whatever_if_past_says(any_shop: Shop) -> None:
    start(any_shop, "{until: tuesday, at: 08:30, if_past: exit}")
    any_shop.contact("ada")
    any_shop.apply()
    any_shop.run("stay", "2026-12-01 09:00")
    assert any_shop.due("ada") == "2026-12-01 08:30"

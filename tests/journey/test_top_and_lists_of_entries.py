"""`audience: {top: …}`, and several entries of one campaign."""

from __future__ import annotations

import pytest

from carillon.definition.load import load_workspace
from tests.foresight.test_plan_counts import foresee
from tests.shop import Shop

TOP = """\
audience: {contact: {tier: gold}, top: {count: 2, by: points}}
entry: {at: 2026-12-01 09:00}
journey: [{email: early}]
"""


def test_top_takes_the_highest_of_the_audience(any_shop: Shop) -> None:
    """Of equals the lower contact id; who lacks the field, or is not in the audience, is not among them."""
    for name, points in (("low", "1"), ("tie1", "7.5"), ("high", "100"), ("tie2", "7.5")):
        any_shop.contact(name, tier="gold", points=float(points))
    any_shop.contact("none", tier="gold")
    any_shop.contact("basic", tier="basic", points=999)
    any_shop.campaign("early", TOP)
    assert foresee(any_shop, "early").enters == 2
    any_shop.apply()
    any_shop.run("early", "2026-12-01 09:00")
    assert sorted(any_shop.enrolments) == ["high", "tie1"]


def test_each_entry_of_a_list_takes_its_people_in(any_shop: Shop) -> None:
    """By date and by event; nobody is under way twice at once, whichever entry it was."""
    any_shop.contact("ada")
    any_shop.contact("bob")
    any_shop.campaign(
        "both",
        "audience: everyone\nentry: [{at: 2026-11-03 09:00, again: after 1d}, {event: order_completed, again: after 1d}]\n"
        "journey: [{wait: 5d}, {email: hello}]\n",
    )
    any_shop.apply()
    any_shop.order("ada")
    any_shop.run("both")
    assert sorted(any_shop.enrolments) == []
    any_shop.at("2026-11-02 12:30")
    any_shop.order("ada")
    any_shop.run("both")
    assert sorted(any_shop.enrolments) == ["ada"]
    any_shop.run("both", "2026-11-03 09:00")
    assert [(entry, n, why) for entry, _, n, why in any_shop.waves()] == [
        ("event:order_completed", 1, {}), ("at", 1, {"under_way": 1}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("top", "entry", "said"),
    [
        (
            "",
            "[{event: order_completed}, {event: order_completed, again: always}]",
            "event:order_completed stands twice",
        ),
        ("", "[{every: monday, at: 09:00}, {every: [monday, friday], at: 18:00}]", "every stands twice"),
        ("top: {count: 5, by: tier}", "{at: 2026-12-01 09:00}", "is a one_of"),
        ("top: {count: 5, by: pionts}", "{at: 2026-12-01 09:00}", 'no field "pionts"'),
        ("top: {count: 5, by: points}", "{event: order_completed}", "only a wave of the whole audience has a top"),
    ],
)
def test_what_a_wave_could_not_tell_apart_is_refused(shop: Shop, top: str, entry: str, said: str) -> None:
    shop.campaign("odd", f"audience: {{contact: {{tier: gold}}, {top}}}\nentry: {entry}\njourney: [{{email: a}}]\n")
    problems = load_workspace(shop.campaigns).errors
    assert [said in p.message for p in problems] == [True]


def test_entries_that_can_be_told_apart_may_stand_together(shop: Shop) -> None:
    """Two dates, different days, a week before a birthday and the day itself."""
    shop.write("data.yaml", "contact: {birthday: date}\nevents: {}\n")
    entries = (
        "[{at: 2026-12-01 09:00}, {at: 2026-12-02 09:00}, {every: monday, at: 09:00}, {every: friday, at: 09:00}, "
        "{date: birthday, every: year, at: 09:00}, {date: birthday, every: year, offset: -7d, at: 09:00}]"
    )
    shop.campaign("fine", f"audience: everyone\nentry: {entries}\njourney: [{{email: a}}]\n")
    assert load_workspace(shop.campaigns).errors == []

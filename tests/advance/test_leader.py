"""A test, its sample, its leader, and the hour of the rest."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from carillon.store import tables as t
from tests.shop import Shop, counted

TEST = """\
audience: everyone
entry: {at: 2026-12-01 09:00%s}
%sjourney:
  - email: sale
    test:
      variants: [plain, personal]
      send_leader: {by: clicks, sample: 50%%, after: 4h, min_events: 3%s}
"""


def leaders(shop: Shop) -> list[tuple[str, str]]:
    with shop.store.read() as connection:
        return [(row.experiment, row.arm) for row in connection.execute(sa.select(t.leader))]


def test_a_test_without_a_leader_sends_both_at_once(any_shop: Shop) -> None:
    any_shop.people(200)
    any_shop.campaign(
        "sale",
        "audience: everyone\nentry: {at: 2026-12-01 09:00}\njourney: [{email: sale, test: {variants: [plain, personal]}}]\n",
    )
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 09:00")
    arms = counted(any_shop.arms("email.sale"))
    assert arms["plain"] + arms["personal"] == 200
    assert 75 <= arms["plain"] <= 125
    texts = Counter(letter.text for letter in any_shop.mail.letters)
    assert texts == {"sale plain": arms["plain"], "sale personal": arms["personal"]}


def test_the_sample_goes_first_and_the_leader_to_the_rest_at_its_hour(any_shop: Shop) -> None:
    """Half at nine; personal is clicked; decided at one, and the rest gets it at 18:00 on each contact's clock."""
    any_shop.people(100)
    any_shop.campaign("sale", TEST % ("", "", ", rest: 18:00"))
    any_shop.apply()
    told = any_shop.run("sale", "2026-12-01 09:00")
    sample = any_shop.arms("email.sale")
    rest = 100 - len(sample)
    assert 35 <= len(sample) <= 65
    assert len(any_shop.standing("email.sale")) == rest
    assert told.next_due == told.at + 4 * 3_600_000_000
    eager = [name for name, arm in sample.items() if arm == "personal"]
    mild = [name for name, arm in sample.items() if arm == "plain"][:3]
    for name in eager + mild:
        any_shop.click(name, "email.sale", "2026-12-01 10:00")
    any_shop.run("sale", "2026-12-01 12:59")
    assert leaders(any_shop) == []
    any_shop.run("sale", "2026-12-01 13:00")
    assert leaders(any_shop) == [("sale/email.sale", "personal")]
    assert len(any_shop.inbox) == len(sample)
    assert any_shop.due(any_shop.standing("email.sale")[0]) == "2026-12-01 18:00"
    any_shop.run("sale", "2026-12-01 19:00")
    assert {arm for name, arm in any_shop.arms("email.sale").items() if name not in sample} == {"personal"}
    assert counted(any_shop.enrolments) == {"finished": 100}


def test_without_feedback_or_with_a_tie_the_rest_is_split(shop: Shop) -> None:
    """Nobody clicked at all: nobody leads, and nobody is kept waiting."""
    shop.people(60)
    shop.campaign("sale", TEST % ("", "", ""))
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    shop.run("sale", "2026-12-01 13:00")
    assert leaders(shop) == [("sale/email.sale", "")]
    arms = counted(shop.arms("email.sale"))
    assert arms["plain"] + arms["personal"] == 60
    assert min(arms.values()) > 15


def test_too_few_clicks_choose_nobody(shop: Shop) -> None:
    shop.people(60)
    shop.campaign("sale", TEST % ("", "", ""))
    shop.apply()
    shop.run("sale", "2026-12-01 09:00")
    clicked = [name for name, arm in shop.arms("email.sale").items() if arm == "plain"][:2]
    for name in clicked:
        shop.click(name, "email.sale", "2026-12-01 10:00")
    shop.run("sale", "2026-12-01 13:00")
    assert leaders(shop) == [("sale/email.sale", "")]


def test_after_counts_from_the_last_zones_sample(any_shop: Shop) -> None:
    """The sample in New York gets it at 14:00 UTC: the leader is chosen at 18:00 UTC, also for Tokyo's rest."""
    for number in range(30):
        any_shop.contact(f"t{number}", timezone="Asia/Tokyo")
        any_shop.contact(f"n{number}", timezone="America/New_York")
    any_shop.campaign("sale", TEST % (", timezone: contact", "", ", rest: 20:00"))
    any_shop.apply()
    any_shop.run("sale", "2026-12-01 00:00+00:00")
    any_shop.run("sale", "2026-12-01 14:00+00:00")
    any_shop.run("sale", "2026-12-01 17:59+00:00")
    assert leaders(any_shop) == []
    any_shop.run("sale", "2026-12-01 18:00+00:00")
    assert len(leaders(any_shop)) == 1
    waiting = any_shop.standing("email.sale")
    assert {any_shop.due(n) for n in waiting if n[0] == "t"} == {"2026-12-02 11:00"}
    assert {any_shop.due(n) for n in waiting if n[0] == "n"} == {"2026-12-02 01:00"}


def test_a_recurring_campaign_draws_a_fresh_sample_each_time(shop: Shop) -> None:
    shop.people(80)
    shop.campaign("news", (TEST % ("", "", "")).replace("{at: 2026-12-01 09:00}", "{every: tuesday, at: 09:00}"))
    shop.apply()
    samples = []
    for day in ("2026-12-01", "2026-12-08"):
        shop.run("news", f"{day} 09:00")
        samples.append({letter.address for letter in shop.mail.letters})
        shop.run("news", f"{day} 13:00")
        assert counted(shop.enrolments) == {"finished": 80}
        assert len(shop.mail.letters) == 80
        shop.mail.letters.clear()
    assert len(leaders(shop)) == 2
    assert samples[0] & samples[1]
    assert samples[0] - samples[1]
    assert samples[1] - samples[0]


def test_a_look_is_taken_once_and_at_its_instant(any_shop: Shop) -> None:
    any_shop.people(40)
    any_shop.campaign(
        "sale",
        "audience: everyone\nentry: {at: 2026-12-01 09:00}\nverdict: {by: clicks, looks: [4h, 1d]}\n"
        "journey: [{email: sale, test: {variants: [plain, personal]}}]\n",
    )
    any_shop.apply()
    assert any_shop.run("sale", "2026-12-01 09:00").next_due == any_shop.clock.now() + 4 * 3_600_000_000
    for when, looks in (("12:59", 0), ("13:00", 1), ("13:10", 1)):
        any_shop.run("sale", f"2026-12-01 {when}")
        assert any_shop.count(t.look) == looks
    any_shop.run("sale", "2026-12-02 10:00")
    assert any_shop.count(t.look) == 2
    assert any_shop.run("sale", "2026-12-03 10:00").next_due is None

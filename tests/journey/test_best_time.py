"""`send_time: best`: each contact's own hour, with everybody's as the prior (language.md §2)."""

from __future__ import annotations

from tests.shop import Shop

NEWS = """\
audience: everyone
entry: {every: day, at: 09:00}
journey: [{email: news}]
"""
SALE = """\
audience: everyone
entry: {at: 2026-12-10 12:00}
journey:
  - {email: sale, send_time: best}
"""


def news(shop: Shop, answers: dict[str, list[str]]) -> None:
    """A daily letter that people answered at these hours (London), one a day."""
    shop.campaign("news", NEWS)
    shop.campaign("sale", SALE)
    shop.apply()
    for day in range(1, 8):
        shop.run("news", f"2026-12-{day:02} 09:00")
        for name, hours in answers.items():
            if day <= len(hours):
                shop.click(name, "email.news", f"2026-12-{day:02} {hours[day - 1]}:30+00:00")
    shop.run("news", "2026-12-09 08:00")
    shop.run("sale", "2026-12-10 12:00")


def test_each_contact_gets_it_at_the_hour_at_which_they_answer(any_shop: Shop) -> None:
    """Ada answers at 20, bob at 7 (which is over: tomorrow), eve never: the usual hour, 20, is hers."""
    for name in ("ada", "bob", "eve", "joe"):
        any_shop.contact(name)
    news(any_shop, {"ada": ["20"] * 6, "bob": ["10"] + ["09"] * 5, "joe": ["20"] * 2})
    assert {name: any_shop.due(name) for name in ("ada", "bob", "eve", "joe")} == {
        "ada": "2026-12-10 20:00",
        "bob": "2026-12-11 09:00",
        "eve": "2026-12-10 20:00",
        "joe": "2026-12-10 20:00",
    }
    any_shop.run("sale", "2026-12-10 21:00")
    assert sorted(any_shop.sends("email.sale")) == ["ada", "eve", "joe"]


def test_one_answer_does_not_outweigh_everybody(any_shop: Shop) -> None:
    """Bob answered once at 9; of the others' answers nine in ten came at 20, which weigh 3.6: he gets it at 20."""
    for name in ("ada", "bob", "eve"):
        any_shop.contact(name)
    news(any_shop, {"ada": ["20"] * 7, "bob": ["09"], "eve": ["20"] * 2})
    assert any_shop.due("bob") == "2026-12-10 20:00"


def test_within_the_hour_and_without_any_answer_it_is_now(any_shop: Shop) -> None:
    """The sale starts at 11:00 in London: who answers at 11 gets it at once; where nobody ever answered everybody does."""
    any_shop.contact("ada")
    any_shop.contact("bob")
    news(any_shop, {"ada": ["11"] * 7})
    assert sorted(any_shop.sends("email.sale")) == ["ada", "bob"]


def test_nobody_has_answered_yet(any_shop: Shop) -> None:
    any_shop.contact("ada")
    news(any_shop, {})
    assert any_shop.sends("email.sale") == {"ada": "accepted"}

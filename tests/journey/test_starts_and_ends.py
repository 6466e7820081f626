"""`starts`, `ends` and `state` hold for every entry, not only for those with a clock time of their own."""

from __future__ import annotations

import pytest

from carillon.foresight.explain import explain
from carillon.journey.ground import load_ground
from tests.shop import Shop, instant

SEASON = "starts: 2026-11-10 00:00\nends: 2026-11-20 00:00\n"
ENTRIES = {
    "event": "entry: {event: cart_updated, again: always}",
    "idle": "entry: {event: cart_updated, again: always, idle: 1h}",
    "joins": "entry: {joins: golden, again: always}",
    "api": "entry: {api: true, again: always}",
}


def comes(shop: Shop, kind: str, name: str) -> None:
    """What would take the contact in, at this instant."""
    if kind == "joins":
        shop.change(name, tier="gold")
    elif kind == "api":
        shop.enter(name, "cart", f"{name}-{shop.clock.now()}")
    else:
        shop.event(name, "cart_updated", cart_id=name, total="1")
    shop.run("cart")
    shop.run("cart", shop.clock.now() + 3_600_000_000)


@pytest.mark.parametrize("kind", list(ENTRIES))
def test_nobody_enters_before_it_starts_or_after_it_ends(any_shop: Shop, kind: str) -> None:
    """One comes on the day before, one in between, one on the day after: the waves say why the two did not enter."""
    shop = any_shop
    for name in ("ada", "bob", "cat"):
        shop.contact(name)
    shop.segment("golden", "{contact: {tier: gold}}")
    shop.campaign(
        "cart",
        f"{SEASON}{'' if kind == 'joins' else 'audience: everyone'}\n{ENTRIES[kind]}\njourney: [{{email: hi}}]\n",
    )
    shop.apply()
    shop.run("cart")
    for day, name in (("09", "ada"), ("12", "bob"), ("21", "cat")):
        shop.run("cart", f"2026-11-{day} 11:00")
        shop.at(f"2026-11-{day} 12:00")
        comes(shop, kind, name)
    assert shop.inbox == ["bob"]
    left_out = [why for _, _, _, why in shop.waves() if why]
    assert left_out == ([{"over": 1}] if kind == "joins" else [{"not_started": 1}, {"over": 1}])
    with shop.store.read() as connection:
        told = explain(connection, load_ground(shop.store, "cart", shop.clock.now()), "cat").entries
    assert [answer for _, answer in told] == ["no: the campaign is over"]


@pytest.mark.parametrize(("existing", "enter"), [("", ["bob"]), (", existing: enter", ["ada", "bob"])])
def test_a_segment_is_looked_at_first_when_the_campaign_starts(shop: Shop, existing: str, enter: list[str]) -> None:
    """Ada was in it by then: she did not join, but she is one of those who were there; nothing is due before."""
    for name in ("ada", "bob"):
        shop.contact(name)
    shop.segment("golden", "{contact: {tier: gold}}")
    shop.campaign("cart", f"{SEASON}entry: {{joins: golden{existing}}}\njourney: [{{email: hi}}]\n")
    shop.apply()
    shop.change("ada", tier="gold")
    assert shop.run("cart").next_due == instant("2026-11-10 00:00")
    shop.run("cart", "2026-11-10 00:00")
    shop.change("bob", tier="gold")
    shop.run("cart", "2026-11-10 00:15")
    assert sorted(shop.inbox) == enter


def test_enter_takes_nobody_into_a_campaign_that_is_over(shop: Shop) -> None:
    """The step is refused, is told, and the journey goes on."""
    shop.contact("ada")
    shop.campaign(
        "target", "ends: 2026-11-03 08:00\naudience: everyone\nentry: {api: true}\njourney: [{email: late}]\n"
    )
    shop.campaign(
        "source", "audience: everyone\nentry: {at: 2026-11-03 09:00}\njourney: [{enter: target}, {email: hi}]\n"
    )
    shop.apply()
    shop.run("source", "2026-11-03 09:00")
    shop.run("target")
    assert [letter.text for letter in shop.mail.letters] == ["hi"]
    assert shop.things("target") == []


def test_a_draft_is_planned_and_never_applied(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """By name it is refused with what to do; its plan can be counted all the same."""
    shop.contact("ada")
    shop.campaign("cart", "state: draft\naudience: everyone\nentry: {at: 2026-11-03 09:00}\njourney: [{email: hi}]\n")
    with pytest.raises(SystemExit):
        shop.apply("cart")
    assert "cart is a draft: set `state: live` to apply it" in capsys.readouterr().err
    assert shop.draft("cart").plan.state == "draft"

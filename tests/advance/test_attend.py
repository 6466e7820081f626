"""Events wait for no run and for nobody else's: what `carillon up` does with what comes in, each campaign beside the others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from carillon.advance.advance import Advanced, advance
from carillon.advance.attend import attend
from carillon.advance.side_by_side import SideBySide
from carillon.journey.enter import enter
from carillon.journey.ground import load_ground
from carillon.kernel.clock import SECOND
from carillon.store import tables as t
from tests.shop import Post, Shop, counted

SALE = (
    "audience: everyone\nentry: {at: 2026-12-01 09:00}\nexit_on: [{event: order_completed}]\njourney: [{email: sale}]\n"
)
CART = (
    "audience: everyone\nentry: {event: cart_updated, once_per: cart_id}\n"
    "journey: [{email: cart}, {wait: 30s}, {email: again}]\n"
)


class GatedPost(Post):
    """A provider that keeps every request of the sale open until it is let go."""

    def __init__(self, channel) -> None:  # type: ignore[no-untyped-def]
        super().__init__("sandbox.email", channel, whole=True, max_people=5)
        self.is_asked, self.gate = threading.Event(), threading.Event()

    async def hand_over(self, parcel, rows):  # type: ignore[no-untyped-def]
        if parcel.letters[0].text == "sale":
            self.is_asked.set()
            await asyncio.to_thread(self.gate.wait, 30)
        return await super().hand_over(parcel, rows)


@contextmanager
def attended(shop: Shop, told: Callable[[Advanced], None] = lambda advanced: None) -> Iterator[None]:
    """The loop of `carillon up` over this shop."""
    stop = threading.Event()
    loop = threading.Thread(target=lambda: attend(shop.engine, stop, every_s=0.02, told=told))
    loop.start()
    try:
        yield
    finally:
        stop.set()
        loop.join()


def soon(holds: Callable[[], bool], within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def mails(shop: Shop, text: str) -> Counter[str]:
    return Counter(letter.address.partition("@")[0] for letter in shop.mail.letters if letter.text == text)


def test_an_event_does_not_wait_for_another_campaigns_hand_over(any_shop: Shop) -> None:
    """The sale hangs at its provider; a cart comes in, is taken in and written to; then the sale goes on, each once."""
    shop, post = any_shop, GatedPost(any_shop.mail.channel)
    shop.mail = post
    names = shop.people(12)
    shop.campaign("sale", SALE)
    shop.campaign("cart", CART)
    shop.apply()
    shop.at("2026-12-01 09:00")
    with attended(shop):
        shop.order(names[0])  # what the sale listens to: it is advanced, and takes everybody in
        soon(post.is_asked.is_set)
        shop.event(names[1], "cart_updated", cart_id="c1", total="9")
        soon(lambda: mails(shop, "cart") == {names[1]: 1})
        assert mails(shop, "sale") == {}
        post.gate.set()
        soon(lambda: len(mails(shop, "sale")) == 12)
    assert mails(shop, "sale") == dict.fromkeys(names, 1)
    assert shop.violations() == []


def test_what_is_due_within_a_minute_needs_no_run(shop: Shop) -> None:
    """The second mail comes half a minute later, by the loop itself; only what lies further ahead is told to who plans."""
    told = list[Advanced]()
    shop.people(1)
    shop.campaign("cart", CART.replace("{email: again}", "{email: again}, {wait: 2h}, {email: last}"))
    shop.apply()
    shop.at("2026-11-02 12:10")
    with attended(shop, told.append):
        shop.event("p0001", "cart_updated", cart_id="c1", total="9")
        soon(lambda: shop.standing("wait.email.cart") == ["p0001"])
        assert (mails(shop, "cart"), told) == ({"p0001": 1}, [])
        shop.at(shop.clock.now() + 30 * SECOND)
        soon(lambda: bool(told))
    assert mails(shop, "again") == {"p0001": 1}
    assert {advanced.next_due for advanced in told} == {shop.clock.now() + 7200 * SECOND}


def test_what_was_folded_before_a_start_is_taken_up(shop: Shop) -> None:
    """A killed process had folded the event and gone no further: the next one begins behind what campaigns looked at."""
    shop.people(2)
    shop.campaign("cart", CART)
    shop.apply()
    shop.at("2026-11-02 12:10")
    shop.event("p0001", "cart_updated", cart_id="c1", total="9")
    shop.run("cart")
    shop.event("p0002", "cart_updated", cart_id="c2", total="9")
    shop.campaign("other", SALE)
    shop.apply("other")
    shop.run("other")  # folds, and is not concerned
    assert mails(shop, "cart") == {"p0001": 1}
    with attended(shop):
        soon(lambda: mails(shop, "cart") == {"p0001": 1, "p0002": 1})


def test_a_prompt_advance_decides_those_of_better_priority_and_no_others(shop: Shop) -> None:
    """One mail a week: the better campaign has the place though the other is advanced; an equal one is left to its own."""
    shop.workspace("limits: {caps: [{channel: email, max: 1, per: 7d, when_full: skip}]}\n")
    shop.people(3)
    for name, priority in (("equal", 50), ("better", 80)):
        shop.campaign(name, f"priority: {priority}\n" + SALE)
    shop.campaign("cart", CART)
    shop.apply()
    shop.at("2026-12-01 09:00")
    for name in ("equal", "better"):
        enter(load_ground(shop.store, name, shop.clock.now()))  # all of them due and undecided
    shop.event("p0001", "cart_updated", cart_id="c1", total="9")
    advance(shop.engine, "cart", promptly=True)
    assert counted(shop.sends("email.cart")) == {"skipped:capped": 1}
    k, b = t.campaign.c, t.batch.c
    decided = shop._rows(sa.select(k.name, b.n).join_from(t.batch, t.campaign, k.id == b.campaign_id))
    assert decided == [("better", 3)]


def test_who_is_asked_for_again_is_run_again_afterwards_and_never_in_two_threads() -> None:
    """Ten askings while it runs are one more run; another campaign does not wait for it."""
    at_work, most, gate, runs = Counter[str](), Counter[str](), threading.Event(), list[str]()

    def run(name: str) -> bool:
        at_work[name] += 1
        most[name] = max(most[name], at_work[name])
        if name == "slow":
            gate.wait(20)
        runs.append(name)
        at_work[name] -= 1
        return True

    with SideBySide(run) as advances:
        advances.ask(["slow"])
        advances.go()
        for _ in range(10):
            advances.ask(["slow", "quick"])
            advances.go()
        soon(lambda: "quick" in runs)
        assert "slow" not in runs
        gate.set()
        soon(lambda: (advances.go(), advances.is_idle)[1])
    assert (runs.count("slow"), most["slow"]) == (2, 1)


def test_what_failed_or_was_elsewhere_is_tried_again(caplog) -> None:  # type: ignore[no-untyped-def]
    """And told once: a campaign that cannot be advanced says so, not every second."""
    runs = Counter[str]()

    def run(name: str) -> bool:
        runs[name] += 1
        if name == "broken" and runs[name] < 3:
            raise ValueError("a fault of the test")
        return name == "broken" or runs[name] > 1

    with SideBySide(run) as advances:
        advances.ask(["broken", "elsewhere"])
        soon(lambda: (advances.go(), advances.is_idle)[1])
    assert runs == {"broken": 3, "elsewhere": 2}
    assert [r.message for r in caplog.records] == ["broken could not be advanced; it is tried again every second"]


def test_late_campaigns_leave_places_to_what_has_just_happened() -> None:
    gate, runs = threading.Event(), list[str]()

    def run(name: str) -> bool:
        runs.append(name)
        return gate.wait(20)

    with SideBySide(run, places=3, kept_free=2) as advances:
        advances.ask(["late1", "late2"], is_late=True)
        advances.go()
        advances.ask(["now1", "now2"])
        advances.go()
        soon(lambda: len(runs) == 3)
        assert sorted(runs) == ["late1", "now1", "now2"]
        gate.set()
        soon(lambda: (advances.go(), advances.is_idle)[1])
    assert runs[-1] == "late2"

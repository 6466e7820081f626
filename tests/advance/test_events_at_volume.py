"""Many events through the real web, from several senders at once: each enrols once, each is written to once, no run is asked for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from carillon.advance.advance import Advanced
from carillon.advance.attend import attend
from carillon.kernel.clock import SystemClock
from carillon.store import tables as t
from carillon.web.app import make_app
from tests.serving import serving
from tests.shop import KEYS, Shop

CART = """\
audience: everyone
entry: {event: cart_updated, where: {total: {over: 10}}, once_per: cart_id}
exit_on: [{event: order_completed, same: cart_id}]
journey: [{email: cart}, {wait: 2d}, {email: again}]
"""
EACH = 20


def web_of(shop: Shop) -> Any:
    """The web over this shop, with the machine's clock."""
    rules = shop.draft("cart").rules
    return make_app(
        shop.store, KEYS, [], rules=lambda: rules, data=lambda: shop.loaded.data, write_keys=["wk"], clock=SystemClock()
    )


def cart(number: int, people: int) -> dict[str, object]:
    return {
        "type": "track", "event": "cart_updated", "userId": f"p{number % people + 1:04}", "messageId": f"m{number}",
        "timestamp": datetime.now(UTC).isoformat(), "properties": {"cart_id": f"k{number}", "total": "19.90"},
    }  # fmt: skip


def report(url: str, carts: list[dict[str, object]]) -> None:
    """Told twice, as a shop does whose first answer was lost."""
    for _ in range(2):
        httpx.post(
            f"{url}/v1/batch", json={"batch": carts}, auth=("wk", ""), trust_env=False, timeout=30
        ).raise_for_status()


def run_carts(shop: Shop, n: int, people: int, seconds: float = 0.0) -> list[Advanced]:
    """Report n carts, spread over so many seconds, to a web that `attend` stands behind; what would have planned a run."""
    shop.clock = SystemClock()  # type: ignore[assignment]
    shop.people(people)
    shop.campaign("cart", CART)
    shop.apply()
    told, stop = list[Advanced](), threading.Event()
    loop = threading.Thread(target=lambda: attend(shop.engine, stop, every_s=0.05, told=told.append))
    firsts = range(0, n, EACH)
    with serving(web_of(shop)) as url, ThreadPoolExecutor(4) as senders:
        loop.start()
        for first in firsts:
            senders.submit(report, url, [cart(number, people) for number in range(first, first + EACH)])
            time.sleep(seconds / len(firsts))
        until = time.monotonic() + 60
        # The last ones go on in an advance behind the one that handed them over: what is stopped before that plans nothing.
        while (len(shop.mail.letters) < n or not (told and told[-1].next_due)) and time.monotonic() < until:
            time.sleep(0.1)
        stop.set()
        loop.join()
    return told


def check(shop: Shop, n: int, people: int) -> None:
    """Each cart once in the ledger and once in the post, and nobody forgotten."""
    e, b = t.enrolment.c, t.batch.c
    with shop.store.read() as connection:
        things = Counter(connection.scalars(sa.select(e.thing)))
        sent = connection.scalar(sa.select(sa.func.sum(b.n)).where(b.state == "accepted"))
    assert things == {f"k{number}": 1 for number in range(n)}
    assert (sent, len(shop.mail.letters)) == (n, n)
    assert set(Counter(letter.cid for letter in shop.mail.letters).values()) == {1}
    assert set(Counter(letter.address for letter in shop.mail.letters).values()) == {n // people}
    assert shop.violations() == []


def test_every_event_enrols_once_and_is_written_to_once(any_shop: Shop) -> None:
    """400 carts of 100 people, each told twice, from four senders. All advances plan one instant, two days from now."""
    told = run_carts(any_shop, 400, 100)
    check(any_shop, 400, 100)
    assert 1 <= len({advanced.next_due for advanced in told}) <= 2
    assert all(advanced.next_due and advanced.next_due > advanced.at + 47 * 3_600_000_000 for advanced in told)


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_a_days_carts_in_ten_minutes(shop: Shop) -> None:
    """A shop of 60,000 carts a day, reported in ten minutes instead of 24 hours: as many folds and waves as come, none lost."""
    run_carts(shop, 60_000, 5_000, 600)
    check(shop, 60_000, 5_000)

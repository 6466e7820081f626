"""From an event to its mail: a minute of carts through the web of a running `carillon up`, alone and beside a large sale."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from carillon.store import tables as t
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, Watch, watch
from tests.benchmarks.one_by_one import shop_of
from tests.benchmarks.sink import Sink, sink
from tests.cli.machine import READY_WITHIN_S, Up, launch, soon
from tests.shop import Shop

RATE, SECONDS, EACH = 2_000, 60, 20
"""Events a second for a minute, twenty in a request: what the shop's libraries send together."""
PEOPLE, SALE_PEOPLE = 20_000, 100_000
WITHIN_S = 120
WRITE_KEY = "a write key of the bench"
CART = """\
topic: offers
audience: everyone
entry: {event: cart_updated, where: {total: {over: 10}}, once_per: cart_id}
exit_on: [{event: order_completed}]
caps: count_only
journey: [{email: letter}, {wait: 23h}, {email: again}]
"""
SALE = "topic: offers\naudience: {reachable: email}\nentry: {at: AT}\njourney: [{email: letter}]\n"
LETTER = """\
<h1>{{ contact.first_name | default: "You" }}, your cart waits</h1>
<p><a href="https://acme.example/cart">{{ trigger.total }}</a></p>
<p>{{ brand.address }} <a href="{{ links.unsubscribe }}">Leave</a></p>
"""
SALE_LETTER = LETTER.replace('<a href="https://acme.example/cart">{{ trigger.total }}</a>', "Sale")
WORDS = {"letter.yaml": "subject: Your cart\n", "letter.html": LETTER}
AGAIN = {"again.yaml": "subject: Your cart still\n", "again.html": LETTER}


@dataclass(frozen=True, slots=True)
class Minute:
    """What came of the events of one run."""

    taken: int
    seconds: float
    sent: int
    half_s: float
    most_s: float
    """99 of 100 were accepted by the provider so soon after they had happened."""
    runs: int
    """Flow runs of campaigns that Prefect saw."""
    spent: Watch


def event_to_send(ground: Ground) -> Iterable[Figure]:
    with sink() as provider:
        alone = _minute(ground, provider, None)
        beside = _minute(ground, provider, ground.size(SALE_PEOPLE))
    wanted = ground.size(RATE) * SECONDS
    yield Figure("events taken and written to, a second", alone.sent / alone.seconds, "/s", "more", RATE * 0.99, RATE,
                 cpu_us=alone.spent.spread(wanted), note=f"{alone.runs} flow runs")  # fmt: skip
    yield Figure("event to send, p99", alone.most_s, "s", "less", 5.0, 3.0)
    yield Figure("event to send, p50", alone.half_s, "s", "less", None, 1.0)
    yield Figure("event to send beside a sale, p99", beside.most_s, "s", "less", 5.0, 3.0,
                 note=f"{ground.size(SALE_PEOPLE):,} people handed over meanwhile")  # fmt: skip
    yield Figure("event to send beside a sale, p50", beside.half_s, "s", "less", None, 1.0)


def _minute(ground: Ground, provider: Sink, sale: int | None) -> Minute:
    rate = ground.size(RATE)
    shop = shop_of(ground, max(ground.size(PEOPLE), sale or 0), CART, WORDS | AGAIN, "sendgrid")
    if sale is not None:
        soon_at = datetime.now(ZoneInfo("Europe/Berlin")) + timedelta(seconds=100)
        at = soon_at.replace(second=0) + timedelta(minutes=1)
        words = {"letter.yaml": "subject: Sale\n", "letter.html": SALE_LETTER}
        shop.campaign("sale", SALE.replace("AT", f"{at:%Y-%m-%d %H:%M}"), words)
        shop.force("sale", planned=sale)
    up = _up(shop, provider, ground.folder / f"up{sale or 0}.log")
    try:
        if sale is not None:
            time.sleep(max((at - datetime.now(at.tzinfo)).total_seconds() - 5, 0))
        with watch(up.process.pid, provider.pid) as spent:
            told = _track(up.url("Web"), rate, SECONDS, ground.size(PEOPLE))
            soon(lambda: _sent(shop) >= told["taken"], WITHIN_S)
        runs = len(up.runs("RUNNING", "COMPLETED", "PENDING", "FAILED", "CRASHED"))
    finally:
        up.end(signal.SIGTERM, 60)
    print(up.said, told, file=sys.stderr)
    return _told(shop, told, runs, spent)


def _up(shop: Shop, provider: Sink, log: Path) -> Up:
    environ = {
        "CARILLON_DATABASE_URL": shop.store.url, "CARILLON_WORKSPACE": "campaigns", "CARILLON_SECRET_KEY": "k" * 32,
        "CARILLON_WRITE_KEY": WRITE_KEY, "SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": provider.url,
        "TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_BASE_URL": provider.url,
        "PREFECT_HOME": str(shop.folder / "prefect"), "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }  # fmt: skip
    up = launch(shop.folder, log, (), environ)
    soon(lambda: "Everything runs" in up.said or up.process.poll() is not None, READY_WITHIN_S)
    assert up.process.poll() is None, up.said
    return up


def _track(url: str, rate: int, seconds: int, people: int) -> dict[str, float]:
    numbers = [str(number) for number in (rate, seconds, people, EACH)]
    command = [sys.executable, "-m", "tests.benchmarks.tracker", url, WRITE_KEY, *numbers]
    told: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return told


def _sent(shop: Shop) -> int:
    b, k = t.batch.c, t.campaign.c
    carts = sa.select(k.id).where(k.name == "news").scalar_subquery()
    with shop.store.read() as connection:
        return int(
            connection.scalar(sa.select(sa.func.sum(b.n)).where(b.campaign_id == carts, b.state == "accepted")) or 0
        )


def _told(shop: Shop, told: dict[str, float], runs: int, spent: Watch) -> Minute:
    """Each event enrolled once and written to once, and how long it took: from its instant to the settled acceptance."""
    e, s, b, k = t.enrolment.c, t.send.c, t.batch.c, t.campaign.c
    took = (
        sa.select(b.settled_at - e.trigger_at)
        .join_from(t.enrolment, t.send, s.enrolment_id == e.id)
        .join(t.batch, b.id == s.batch_id)
        .join(t.campaign, k.id == e.campaign_id)
        .where(k.name == "news", b.state == "accepted", s.outcome.is_(None))
    )
    with shop.store.read() as connection:
        seconds = sorted(us / 1e6 for us in connection.scalars(took))
        carts = connection.scalar(
            sa.select(sa.func.count(sa.distinct(e.thing))).join_from(t.enrolment, t.campaign, k.id == e.campaign_id)
            .where(k.name == "news")
        )  # fmt: skip
    assert len(seconds) == carts == told["taken"], (len(seconds), carts, told)
    return Minute(
        int(told["taken"]), told["seconds"], len(seconds), seconds[len(seconds) // 2],
        seconds[len(seconds) * 99 // 100], runs, spent,
    )  # fmt: skip

"""The segment Q1 over a million people and 20 million events, through the product's own words, against numpy's answer."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

import numpy as np

from carillon.audience.moment import Moment
from carillon.audience.select import is_folded, matching
from carillon.definition.conditions import Condition
from carillon.kernel.clock import DAY
from carillon.people.ingest import money_fields
from carillon.plan.compile import compile_rules
from carillon.plan.permissions import HousePermissions
from carillon.store.engine import Store
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, watch
from tests.benchmarks.history import (
    CLICKS_LATER,
    COUNTRIES,
    OPENS_LATER,
    History,
    category,
    cents,
    live_through,
    numbers_of,
)
from tests.shop import Shop

NOW = 1_795_000_000_000_000
WORKSPACE = """\
name: Acme
timezone: UTC
currency: EUR
address: Acme GmbH, Hauptstr. 1, 10115 Berlin
languages: {en: [GB, US], de: [DE]}
public_url: https://t.acme.example
senders:
  email: {connector: sandbox, from: Acme <hello@acme.example>}
topics:
  offers: {kind: marketing, name: Offers, consent: {email: explicit}}
"""
DATA = """\
contact: {}
events:
  order_completed: {order_id: word, category: word, total: money}
  product_viewed: {product_id: word, category: word}
  cart_updated: {cart_id: word}
"""
Q1 = """
  - {opened: any, in_last: 30d}
  - {event: order_completed, in_last: 90d, sum: {of: total, over: 100}}
  - {not: {event: order_completed, where: {category: k7}}}
  - {contact: {country: [DE, GB, FR]}}
  - {consent: email}
"""
TIMES = 5
"""The median of so many, after one that warms the cache."""


def segment_sqlite(ground: Ground) -> Iterable[Figure]:
    yield _asked(ground, ground.sqlite(), None, "segment Q1, SQLite", 0.5, 0.25)


def segment_postgres(ground: Ground) -> Iterable[Figure]:
    with ground.postgres() as store:
        yield _asked(ground, store, ground.postmaster, "segment Q1, PostgreSQL", 2.0, 1.0)


def _asked(ground: Ground, store: Store, server: int | None, name: str, must: float, aim: float) -> Figure:
    history = History(ground.size(1_000_000), ground.size(20_000_000), NOW)
    live_through(store, history)
    condition, at = question(store, ground)
    wanted = reference(history)
    found, seconds, cpu = [], [], 0.0
    for _ in range(TIMES + 1):
        with watch(*([server] if server else [])) as spent:
            found = members(store, condition, at)
        seconds, cpu = [*seconds, spent.wall], spent.cpu
    assert sorted(found) == wanted.tolist(), (len(found), len(wanted))
    people = f"{len(wanted):,} of {history.contacts:,} people, {history.events:,} events"
    return Figure(name, median(seconds[1:]), "s", "less", must, aim, cpu_us=cpu * 1e6, note=people)


def question(store: Store, ground: Ground) -> tuple[Condition, Moment]:
    """The condition as its YAML says it, at the instant."""
    shop = Shop(store, ground.path("workspace"))
    shop.write("workspace.yaml", WORKSPACE)
    shop.write("data.yaml", DATA)
    shop.segment("q1", Q1)
    with store.read() as connection:
        assert is_folded(connection)
        money = money_fields(connection)
    permissions = HousePermissions(compile_rules(shop.loaded.workspace, shop.loaded.segments))
    at = Moment(NOW, store.dialect, "UTC", topic="offers", permissions=permissions, folded=True, money=money)
    return shop.loaded.segments["q1"].who, at


def members(store: Store, condition: Condition, at: Moment) -> list[int]:
    """All ids, in Python."""
    with store.read() as connection:
        return list(connection.scalars(matching(condition, at)))


def reference(history: History) -> np.ndarray:
    """The same people by plain sums over whole columns."""
    orders, delivered = numbers_of(history, "order_completed"), numbers_of(history, "message.delivered")
    who, total = history.contact(orders), cents(orders)
    recent = history.at(orders) > NOW - 90 * DAY
    spent = np.bincount(who[recent], weights=total[recent], minlength=history.contacts + 1)
    bought = np.bincount(who[category(orders) == 7], minlength=history.contacts + 1)
    answered = _answered(history, delivered, 20, OPENS_LATER + 42) | _answered(history, delivered, 5, CLICKS_LATER + 62)
    opened = np.bincount(history.contact(delivered[answered]), minlength=history.contacts + 1)
    people = np.arange(history.contacts + 1)
    place = (people - 1) % 10
    lives_there = np.isin(np.array(COUNTRIES)[place], ("DE", "GB", "FR"))
    return people[(opened > 0) & (spent > 10_000) & (bought == 0) & lives_there & (people % 5 < 3) & (people > 0)]


def _answered(history: History, delivered: np.ndarray, places: int, later: int) -> np.ndarray:
    """Which deliveries were opened (or clicked, which is an open, too) in the last 30 days."""
    number = delivered + later
    return (delivered % 100 < places) & (number < history.events) & (history.at(number) > NOW - 30 * DAY)

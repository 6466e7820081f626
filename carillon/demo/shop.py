"""A generated shop: people, what they allowed, and what they bought; the same shop for the same seed, made in sets.

Chance is drawn from one generator, as shares in [0, 1) only: what numpy makes of them in other distributions may change
with its version, shares do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from carillon.demo.draws import DAY_S, Cell, Numbers, pick, seconds, text, texts
from carillon.demo.people import AHEAD, YEAR, People, consents_of, people_of, suppressions_of

ORDERS_EACH, VIEWS_EACH = 3.6, 1.4
"""Drawn per contact; what falls outside somebody's time as a customer is dropped, about two in five."""

CATALOGUE: tuple[tuple[str, str, str, int], ...] = (
    ("herb-bench", "Herb bench", "garden", 8900), ("linen-apron", "Linen apron", "kitchen", 3900),
    ("long-spoon", "The long spoon", "kitchen", 1450), ("watering-can", "Watering can", "garden", 4200),
    ("seed-box", "Box of seeds", "garden", 1900), ("balcony-table", "Balcony table", "balcony", 12900),
    ("lantern", "Lantern", "balcony", 3400), ("tea-towel", "Tea towel", "kitchen", 1200),
    ("bread-knife", "Bread knife", "kitchen", 5600), ("planter", "Planter", "balcony", 2700),
    ("garden-gloves", "Garden gloves", "garden", 1690), ("bird-bath", "Bird bath", "garden", 6400),
    ("cushion", "Outdoor cushion", "balcony", 2990), ("pepper-mill", "Pepper mill", "kitchen", 4900),
    ("twine", "Ball of twine", "garden", 590), ("postcard-set", "Set of postcards", "paper", 750),
    ("calendar", "Garden calendar", "paper", 1800), ("candle", "Beeswax candle", "balcony", 1100),
    ("oven-glove", "Oven glove", "kitchen", 1690), ("secateurs", "Secateurs", "garden", 3850),
)  # fmt: skip
"""Id, title, category, price in cents."""

SEASON = (0.8, 0.85, 1.1, 1.35, 1.4, 1.15, 0.9, 0.8, 0.9, 1.0, 1.35, 1.6)
"""Orders by month: gardens in spring, presents before Christmas."""
WEEKDAY = (1.05, 1.0, 0.95, 0.95, 0.9, 0.95, 1.2)
HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 8, 9, 10, 10, 10, 9, 9, 9, 9, 10, 11, 13, 15, 14, 9, 5)


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the shop reports it; `total` in cents."""

    at: str
    contact: str
    order_id: str
    total: int
    products: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything that the shop hands over: tables as columns of cells, and its orders in time."""

    contacts: dict[str, list[Cell]]
    consents: dict[str, list[Cell]]
    suppressions: dict[str, list[Cell]]
    orders: list[Order]
    coming: list[Order]
    """Orders of the days after the beginning, whatever is sent: told when their time has come."""
    views: dict[str, list[Cell]]
    currency: str = "EUR"


def make_shop(n: int, begins: datetime, seed: int = 1) -> Shop:
    """A shop of `n` contacts with a year of orders before `begins`."""
    dice = np.random.Generator(np.random.PCG64(seed))
    people = people_of(dice, n, begins)
    at, who = _visits(dice, people, begins, round(n * ORDERS_EACH))
    orders = _orders(dice, people.ids, at, who)
    edge = text(seconds(begins))
    past = next((i for i, order in enumerate(orders) if order.at >= edge), len(orders))
    return Shop(
        contacts=people.columns,
        consents=consents_of(dice, people.columns, people.created),
        suppressions=suppressions_of(dice, people),
        orders=orders[:past],
        coming=orders[past:],
        views=_views(dice, people, begins, round(n * VIEWS_EACH)),
    )


# ------------------------------------------------------------------------------------------------- what they do, in time


def _visits(dice: np.random.Generator, people: People, begins: datetime, n: int) -> tuple[Numbers, Numbers]:
    """Instants and contacts of `n` draws, in time; those outside somebody's time as a customer are dropped."""
    who = np.searchsorted(np.cumsum(people.weight), dice.random(n) * people.weight.sum())
    first = begins.astimezone(UTC).date() - timedelta(days=YEAR)
    days = [first + timedelta(days=d) for d in range(YEAR + AHEAD)]
    day = pick(dice.random(n), [SEASON[d.month - 1] * WEEKDAY[d.weekday()] for d in days])
    hour = pick(dice.random(n), HOURS)
    midnight = seconds(datetime(first.year, first.month, first.day, tzinfo=UTC))
    at = midnight + day * DAY_S + hour * 3600 + (dice.random(n) * 3600).astype(np.int64)
    kept = (at > people.created[who]) & (at < people.left[who])
    order = np.lexsort((who[kept], at[kept]))
    return at[kept][order], who[kept][order]


def _orders(dice: np.random.Generator, ids: Sequence[Cell], at: Numbers, who: Numbers) -> list[Order]:
    lines = 1 + pick(dice.random(len(at)), [0.5, 0.26, 0.14, 0.07, 0.03])
    starts = np.concatenate(([0], np.cumsum(lines)))
    product = pick(dice.random(int(starts[-1])), [1 / (place + 3) for place in range(len(CATALOGUE))]).tolist()
    quantity = (1 + pick(dice.random(int(starts[-1])), [0.78, 0.16, 0.06])).tolist()
    things = [_line(p, q) for p, q in zip(product, quantity, strict=True)]
    worth = np.concatenate(([0], np.cumsum([CATALOGUE[p][3] * q for p, q in zip(product, quantity, strict=True)])))
    total = (worth[starts[1:]] - worth[starts[:-1]]).tolist()
    when, people, edges = texts(at), who.tolist(), starts.tolist()
    return [
        Order(str(when[i]), ids[people[i]] or "", f"W{i + 300_000}", total[i], things[edges[i] : edges[i + 1]])
        for i in range(len(when))
    ]


def _line(product: int, quantity: int) -> dict[str, Any]:
    name, _, category, price = CATALOGUE[product]
    return {"product_id": name, "category": category, "price": price / 100, "quantity": quantity}


def _views(dice: np.random.Generator, people: People, begins: datetime, n: int) -> dict[str, list[Cell]]:
    at, who = _visits(dice, people, begins, n)
    past = int(np.searchsorted(at, seconds(begins)))
    product = pick(dice.random(past), [1 / (place + 3) for place in range(len(CATALOGUE))]).tolist()
    return {
        "contact": [people.ids[i] for i in who[:past].tolist()],
        "at": texts(at[:past]),
        "product_id": [CATALOGUE[p][0] for p in product],
        "category": [CATALOGUE[p][2] for p in product],
    }

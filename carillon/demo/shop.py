"""A generated shop: people, what they allowed, and what they bought; the same shop for the same seed, made in sets.

Chance is drawn from one generator, as shares in [0, 1) only: what numpy makes of them in other distributions may change
with its version, shares do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from carillon.demo.names import CULTURES, LANDS, lettered, written

Shares = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Cell = str | None

YEAR, AHEAD = 365, 21
"""Days of orders before the first virtual day, and after it: those are told while the demo runs."""

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
    people = _people(dice, n, begins)
    at, who = _visits(dice, people, begins, round(n * ORDERS_EACH))
    orders = _orders(dice, people.ids, at, who)
    edge = _text(_seconds(begins))
    past = next((i for i, order in enumerate(orders) if order.at >= edge), len(orders))
    return Shop(
        contacts=people.columns,
        consents=consents_of(dice, people.columns, people.created),
        suppressions=_suppressions(dice, people),
        orders=orders[:past],
        coming=orders[past:],
        views=_views(dice, people, begins, round(n * VIEWS_EACH)),
    )


# ------------------------------------------------------------------------------------------------------------- people


@dataclass(frozen=True, slots=True)
class _People:
    """The contacts, with what only the generator knows of them."""

    columns: dict[str, list[Cell]]
    created: Numbers
    left: Numbers
    """When each stopped buying, in seconds; for most that lies beyond the end."""
    weight: Shares
    """How much each buys: a Pareto tail, and a fifth that never bought."""

    @property
    def ids(self) -> list[Cell]:
        return self.columns["id"]


def _people(dice: np.random.Generator, n: int, begins: datetime) -> _People:
    land = _pick(dice.random(n), [land.share for land in LANDS])
    culture, city, phone, first, last = (dice.random(n) for _ in range(5))
    rows = [_person(i, *one) for i, one in enumerate(zip(land, culture, city, phone, first, last, strict=True))]
    names = ("id", "email", "phone", "first_name", "last_name", "language", "country", "city", "timezone")
    columns: dict[str, list[Cell]] = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    created = _seconds(begins) - (DAY_S * (1 + 3 * YEAR * dice.random(n) ** 1.3)).astype(np.int64)
    columns["created_at"] = texts(created)
    columns["tier"] = [("gold", "silver", "basic")[k] for k in _pick(dice.random(n), [0.06, 0.2, 0.74])]
    columns["birthday"] = _birthdays(dice.random(n), dice.random(n))
    _make_untidy(columns, dice.random(n), n)
    end = _seconds(begins) + DAY_S * AHEAD
    span = np.where(dice.random(n) < 0.62, 2.0, dice.random(n))  # two in five stop at some time of the year
    left = end - DAY_S * (YEAR + AHEAD) + (span * DAY_S * (YEAR + AHEAD)).astype(np.int64)
    weight = np.where(dice.random(n) < 0.22, 0.0, np.minimum((1 - dice.random(n)) ** (-1 / 1.7), 30.0))
    return _People(columns, created, left, weight)


def _person(
    i: int, land_no: int, culture: float, city: float, phone: float, first: float, last: float
) -> tuple[Cell, ...]:
    land = LANDS[land_no]
    people = CULTURES[_chosen(land.cultures, culture)]
    one, other = people.first[int(first * len(people.first))], people.last[int(last * len(people.last))]
    town = int(city * len(land.cities))
    domain = ("example.com", "example.org", "example.net")[i % 3]
    prefix, digits = land.phones[i % len(land.phones)]
    # Every number once: the place in the list is its tail, spread by a multiplier without a common factor.
    number = f"{prefix}{(i // len(land.phones) * 7919 + 101) % 10**digits:0{digits}d}"
    return (
        f"c{i + 1:06d}", f"{lettered(one)}.{lettered(other)}.{i + 1}@{domain}", number if phone < 0.64 else None,
        written(one), written(other), people.language if culture < 0.9 else None, land.code, land.cities[town],
        land.zones[town] if land.zones else None,
    )  # fmt: skip


def _birthdays(known: Shares, when: Shares) -> list[Cell]:
    first = date(1945, 1, 1)
    days = (when * 22_600).astype(int).tolist()
    return [str(first + timedelta(days=d)) if k < 0.55 else None for k, d in zip(known.tolist(), days, strict=True)]


def _make_untidy(columns: dict[str, list[Cell]], chance: Shares, n: int) -> None:
    """What every real list holds: people without an address, families with one, and addresses that cannot be."""
    emails, ids = columns["email"], columns["id"]
    for i in np.flatnonzero(chance < 0.045).tolist():
        if chance[i] < 0.03:
            emails[i] = None
        elif chance[i] < 0.042:
            emails[i] = emails[(i * 31 + 7) % n]
        else:
            emails[i] = f"{ids[i]}(at)example.com"


def consents_of(dice: np.random.Generator, contacts: dict[str, list[Cell]], created: Numbers) -> dict[str, list[Cell]]:
    """Who said what, when and how it can be proved; some never said anything."""
    rows: list[tuple[Cell, ...]] = []
    ids = contacts["id"]
    later = dice.random(len(ids))
    for channel, yes, no, has in (("email", 0.86, 0.91, "email"), ("sms", 0.5, 0.58, "phone")):
        said, way = dice.random(len(ids)), dice.random(len(ids))
        when = texts(created + (later * 86_400 * 2).astype(np.int64))
        for i in np.flatnonzero(said < no).tolist():
            if contacts[has][i]:
                state = "yes" if said[i] < yes else "no"
                source, evidence = _chosen_proof(way[i], i)
                rows.append((ids[i], "offers", channel, state, when[i], source, evidence))
    names = ("contact", "topic", "channel", "state", "at", "source", "evidence")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _chosen_proof(way: float, i: int) -> tuple[str, str]:
    if way < 0.6:
        return "checkout", f"box ticked at checkout, form 2024-02, order W{100_000 + i}"
    if way < 0.9:
        return "newsletter form", f"form 2023-11, confirmed by the link in mail {200_000 + i}"
    return "shop counter", f"card signed, scan {i:06d}.pdf"


def _suppressions(dice: np.random.Generator, people: _People) -> dict[str, list[Cell]]:
    emails = people.columns["email"]
    chance = dice.random(len(emails))
    found = [i for i in np.flatnonzero(chance < 0.004).tolist() if "@" in (emails[i] or "")]
    reasons = ["complaint" if chance[i] < 0.0004 else "hard_bounce" for i in found]
    return {
        "address": [emails[i] for i in found],
        "channel": ["email"] * len(found),
        "reason": [*reasons],
        "at": texts(people.created[found] + DAY_S),
    }


# ------------------------------------------------------------------------------------------------- what they do, in time

DAY_S = 86_400


def _visits(dice: np.random.Generator, people: _People, begins: datetime, n: int) -> tuple[Numbers, Numbers]:
    """Instants and contacts of `n` draws, in time; those outside somebody's time as a customer are dropped."""
    who = np.searchsorted(np.cumsum(people.weight), dice.random(n) * people.weight.sum())
    first = begins.astimezone(UTC).date() - timedelta(days=YEAR)
    days = [first + timedelta(days=d) for d in range(YEAR + AHEAD)]
    day = _pick(dice.random(n), [SEASON[d.month - 1] * WEEKDAY[d.weekday()] for d in days])
    hour = _pick(dice.random(n), HOURS)
    midnight = _seconds(datetime(first.year, first.month, first.day, tzinfo=UTC))
    at = midnight + day * DAY_S + hour * 3600 + (dice.random(n) * 3600).astype(np.int64)
    kept = (at > people.created[who]) & (at < people.left[who])
    order = np.lexsort((who[kept], at[kept]))
    return at[kept][order], who[kept][order]


def _orders(dice: np.random.Generator, ids: Sequence[Cell], at: Numbers, who: Numbers) -> list[Order]:
    lines = 1 + _pick(dice.random(len(at)), [0.5, 0.26, 0.14, 0.07, 0.03])
    starts = np.concatenate(([0], np.cumsum(lines)))
    product = _pick(dice.random(int(starts[-1])), [1 / (place + 3) for place in range(len(CATALOGUE))]).tolist()
    quantity = (1 + _pick(dice.random(int(starts[-1])), [0.78, 0.16, 0.06])).tolist()
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


def _views(dice: np.random.Generator, people: _People, begins: datetime, n: int) -> dict[str, list[Cell]]:
    at, who = _visits(dice, people, begins, n)
    past = int(np.searchsorted(at, _seconds(begins)))
    product = _pick(dice.random(past), [1 / (place + 3) for place in range(len(CATALOGUE))]).tolist()
    return {
        "contact": [people.ids[i] for i in who[:past].tolist()],
        "at": texts(at[:past]),
        "product_id": [CATALOGUE[p][0] for p in product],
        "category": [CATALOGUE[p][2] for p in product],
    }


# --------------------------------------------------------------------------------------------------------------- draws


def _pick(share: Shares, weights: Sequence[float]) -> Numbers:
    """The place in `weights` that each share falls on."""
    edges = np.cumsum(weights)
    return np.minimum(np.searchsorted(edges / edges[-1], share, side="right"), len(weights) - 1).astype(np.int64)


def _chosen(options: Sequence[tuple[str, float]], share: float) -> str:
    for name, part in options:
        if share < part:
            return name
        share -= part
    return options[-1][0]


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _text(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def texts(at: Numbers) -> list[Cell]:
    """Seconds as instants in UTC."""
    found: list[Cell] = np.datetime_as_string(at.astype("datetime64[s]"), timezone="UTC").tolist()
    return found

"""The people of the generated shop: contacts as untidy as real ones, what they allowed, and whom to leave alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from carillon.demo.draws import DAY_S, Cell, Numbers, Shares, chosen, pick, seconds, texts
from carillon.demo.names import CULTURES, LANDS, lettered, written

YEAR, AHEAD = 365, 21
"""Days of orders before the first virtual day, and after it: those are told while the demo runs."""


@dataclass(frozen=True, slots=True)
class People:
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


def people_of(dice: np.random.Generator, n: int, begins: datetime) -> People:
    """Make the contacts."""
    land = pick(dice.random(n), [land.share for land in LANDS])
    culture, city, phone, first, last = (dice.random(n) for _ in range(5))
    rows = [_person(i, *one) for i, one in enumerate(zip(land, culture, city, phone, first, last, strict=True))]
    names = ("id", "email", "phone", "first_name", "last_name", "language", "country", "city", "timezone")
    columns: dict[str, list[Cell]] = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    created = seconds(begins) - (DAY_S * (1 + 3 * YEAR * dice.random(n) ** 1.3)).astype(np.int64)
    columns["created_at"] = texts(created)
    columns["tier"] = [("gold", "silver", "basic")[k] for k in pick(dice.random(n), [0.06, 0.2, 0.74])]
    columns["birthday"] = _birthdays(dice.random(n), dice.random(n))
    _make_untidy(columns, dice.random(n), n)
    end = seconds(begins) + DAY_S * AHEAD
    span = np.where(dice.random(n) < 0.62, 2.0, dice.random(n))  # two in five stop at some time of the year
    left = end - DAY_S * (YEAR + AHEAD) + (span * DAY_S * (YEAR + AHEAD)).astype(np.int64)
    weight = np.where(dice.random(n) < 0.22, 0.0, np.minimum((1 - dice.random(n)) ** (-1 / 1.7), 30.0))
    return People(columns, created, left, weight)


def _person(
    i: int, land_no: int, culture: float, city: float, phone: float, first: float, last: float
) -> tuple[Cell, ...]:
    land = LANDS[land_no]
    people = CULTURES[chosen(land.cultures, culture)]
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
                source, evidence = _proof(way[i], i)
                rows.append((ids[i], "offers", channel, state, when[i], source, evidence))
    names = ("contact", "topic", "channel", "state", "at", "source", "evidence")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _proof(way: float, i: int) -> tuple[str, str]:
    if way < 0.6:
        return "checkout", f"box ticked at checkout, form 2024-02, order W{100_000 + i}"
    if way < 0.9:
        return "newsletter form", f"form 2023-11, confirmed by the link in mail {200_000 + i}"
    return "shop counter", f"card signed, scan {i:06d}.pdf"


def suppressions_of(dice: np.random.Generator, people: People) -> dict[str, list[Cell]]:
    """Addresses that bounced or complained before: a few in a thousand."""
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

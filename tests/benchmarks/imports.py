"""Rows per second of `carillon import` into SQLite, from CSV: reading, checking, writing; both cores may help."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import phonenumbers
from phonenumbers import PhoneNumberType

from carillon.consent.standing import rules_of
from carillon.definition.build_data import BUILT_IN_CONTACT
from carillon.definition.model import Data, Field, Topic, Workspace
from carillon.kernel.channels import Channel
from carillon.people.importing import plan_import, run_import
from carillon.people.mapping import Source
from carillon.store.engine import Store
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, watch

NOW = 1_790_000_000_000_000
WORKSPACE = Workspace(
    "shop", "Europe/Berlin", "EUR", "", {"de": ("DE",)}, "", {},
    {"offers": Topic("offers", "marketing", {}, {Channel.EMAIL: "explicit", Channel.SMS: "explicit"})},
)  # fmt: skip
DATA = Data(
    {**BUILT_IN_CONTACT, "tier": Field("tier", "one_of", ("basic", "gold")), "city": Field("city", "word")},
    {
        "order_completed": {
            "order_id": Field("order_id", "word"),
            "category": Field("category", "word"),
            "total": Field("total", "money"),
        }
    },
)
COUNTRIES = ("DE", "GB", "FR", "AT", "IT", "NL", "ES", "US", "PL", "SE")
ONE_IN = 100
"""One address in so many is none: those rows are the slow ones, and real files have them."""


def import_contacts(ground: Ground) -> Iterable[Figure]:
    """People with a name, an e-mail address, a telephone number, a city and a yes to a topic."""
    n = ground.size(200_000)
    file = ground.path("contacts.csv")
    _write(file, ("id", "email", "phone", "country", "first_name", "city", "tier", "consent_email_offers"), people(n))
    yield _imported(ground.sqlite(), "contacts", file, n, "contacts imported into SQLite", 15_000, 40_000)


def import_events(ground: Ground) -> Iterable[Figure]:
    """Orders of the past year, in the order in which they happened, of people who are known."""
    n, store = ground.size(1_000_000), ground.sqlite()
    known = ground.path("known.csv")
    _write(known, ("id",), ((f"c{i}",) for i in range(n // 10)))
    _imported(store, "contacts", known, n // 10, "", 0, 0)
    file = ground.path("orders.csv")
    _write(file, ("contact", "at", "order_id", "category", "total"), orders(n))
    yield _imported(store, "events", file, n, "events imported into SQLite", 150_000, 400_000, event="order_completed")


def _imported(
    store: Store, kind: Any, file: Path, n: int, name: str, must: float, aim: float, **told: Any
) -> Figure:  # fmt: skip
    with watch() as spent:
        plan = plan_import(
            kind, file, Source(**told), data=DATA, topics=tuple(WORKSPACE.topics), rules=rules_of(WORKSPACE),
            workspace_zone=WORKSPACE.timezone, at=NOW,
        )  # fmt: skip
        result = run_import(store, plan)
    assert (result.rows, result.refused, result.counts["new"]) == (n, 0, n), result
    return Figure(name, n / spent.wall, "rows/s", "more", must, aim, cpu_us=spent.spread(n))


def people(n: int) -> Iterator[tuple[str, ...]]:
    """Contacts with distinct addresses, as a shop of ten countries exports them."""
    chance = random.Random(5)
    for i in range(n):
        country = COUNTRIES[i % len(COUNTRIES)]
        email = f"someone{i}@" if i % ONE_IN == 7 else f"someone.{i}@example{i % 500}.com"
        phone = "none" if i % ONE_IN == 13 else mobile(country, chance)
        yield (
            f"c{i}", email, phone, country, f"Name{i % 8000}", f"City{i % 900}", ("basic", "gold")[i % 2], "yes"
        )  # fmt: skip


def mobile(country: str, chance: random.Random) -> str:
    """A mobile number in use, as people there write it: the example of its country with other last digits."""
    example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    shape = (
        phonenumbers.PhoneNumberFormat.INTERNATIONAL
        if chance.random() < 0.5
        else phonenumbers.PhoneNumberFormat.NATIONAL
    )
    written = list(phonenumbers.format_number(example, shape))
    places = [index for index, sign in enumerate(written) if sign.isdigit()][-5:]
    for index in places:
        written[index] = str(chance.randrange(10))
    return "".join(written)


def orders(n: int) -> Iterator[tuple[str, ...]]:
    """Orders in the course of a year."""
    chance = random.Random(6)
    began, step = datetime(2025, 9, 1, tzinfo=UTC), timedelta(days=365) / n
    for i in range(n):
        at = (began + step * i).isoformat(timespec="seconds")
        who, cents = int(chance.random() ** 2 * (n // 10)), chance.randrange(100, 30_000)
        yield f"c{who}", at, f"o{i}", f"k{i % 40}", f"{cents // 100}.{cents % 100:02}"


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)

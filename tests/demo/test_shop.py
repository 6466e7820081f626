"""The generated shop: the same for the same seed, untidy as real ones are, and readable by the real imports."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import phonenumbers
import pytest
import sqlalchemy as sa

from carillon.cli.init import starter
from carillon.definition.load import load_workspace
from carillon.demo.files import write_files
from carillon.demo.importing import bring_in
from carillon.demo.shop import Shop, make_shop
from carillon.kernel.clock import to_micros
from carillon.people.importing import ImportResult
from carillon.store import tables as t
from carillon.store.engine import Store

BEGINS = datetime(2027, 3, 7, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def made() -> Shop:
    return make_shop(4_000, BEGINS)


def digests(shop: Shop, folder: Path) -> dict[str, str]:
    return {f.path.name: hashlib.sha256(f.path.read_bytes()).hexdigest() for f in write_files(shop, folder)}


def test_the_same_seed_writes_the_same_bytes(made: Shop, tmp_path: Path) -> None:
    """Five files, equal to the last byte; another seed writes five others."""
    once = digests(made, tmp_path / "once")
    again = digests(make_shop(4_000, BEGINS), tmp_path / "again")
    other = digests(make_shop(4_000, BEGINS, seed=2), tmp_path / "other")
    assert sorted(once) == ["consents.csv", "contacts.csv", "orders.jsonl", "product_views.csv", "suppressions.csv"]
    assert once == again
    assert not set(once.values()) & set(other.values())


def test_every_number_is_one_of_its_contacts_country(made: Shop) -> None:
    """In E.164, valid, and of the country beside it."""
    pairs = zip(made.contacts["phone"], made.contacts["country"], strict=True)
    found = [(phonenumbers.parse(phone), country) for phone, country in pairs if phone]
    assert len(found) > 2_000
    assert all(phonenumbers.is_valid_number(number) for number, _ in found)
    assert {(phonenumbers.region_code_for_number(number), country) for number, country in found} == {
        (country, country) for country in ("AT", "CH", "DE", "FR", "GB", "IE", "US")
    }


def test_people_are_as_in_real_lists(made: Shop) -> None:
    """Names in several scripts; some without an address, some sharing one, one in a thousand with none that can be."""
    contacts, n = made.contacts, 4_000
    emails = Counter(e for e in contacts["email"] if e)
    assert {
        c for c in "ЖИОАأ王さशΕÖ" if any(c in (name or "") for name in contacts["first_name"] + contacts["last_name"])
    } >= {"王", "أ", "さ"}
    assert 0.02 < sum(e is None for e in contacts["email"]) / n < 0.04
    assert 20 < sum(times > 1 for times in emails.values()) < 80
    assert 2 < sum("@" not in e for e in emails) < 30
    assert set(made.consents["state"]) == {"yes", "no"}
    assert all(made.consents["evidence"])


def test_a_few_buy_most_and_spring_sells_more_than_summer(made: Shop) -> None:
    """A tenth of the buyers makes a third of the orders; nobody orders before being a customer; the rest is to come."""
    orders = Counter(order.contact for order in made.orders)
    best = sum(times for _, times in orders.most_common(len(orders) // 10))
    months = Counter(order.at[5:7] for order in made.orders)
    created = dict(zip(made.contacts["id"], made.contacts["created_at"], strict=True))
    assert best / len(made.orders) > 0.33
    assert months["04"] > 1.3 * months["07"]
    assert all((created[order.contact] or "") < order.at for order in made.orders)
    assert made.orders[-1].at < "2027-03-07T20:00:00Z" <= made.coming[0].at
    assert [order.at for order in made.orders] == sorted(order.at for order in made.orders)


def test_totals_are_the_sums_of_their_products(made: Shop) -> None:
    """To the cent."""
    assert all(
        order.total == sum(round(p["price"] * 100) * p["quantity"] for p in order.products) for order in made.orders
    )


def test_the_real_imports_read_every_row(made: Shop, sqlite_store: Store, tmp_path: Path) -> None:
    """Nothing is refused; left out are exactly the addresses that cannot be."""
    loaded = load_workspace(starter())
    done: dict[str, ImportResult] = {}
    for file in write_files(made, tmp_path):
        done[file.path.name] = bring_in(sqlite_store, loaded, file, to_micros(BEGINS), lambda share, rows: None)
    broken = sum("@" not in email for email in made.contacts["email"] if email)
    assert {name: result.refused for name, result in done.items() if result.refused} == {}
    assert {name: result.left_out for name, result in done.items() if result.left_out} == {"contacts.csv": broken}
    with sqlite_store.read() as connection:
        value = connection.scalar(
            sa.select(sa.func.sum(t.event.c.value_cents)).where(t.event.c.kind == "order_completed")
        )
        suppressed = connection.scalar(sa.select(sa.func.count()).select_from(t.suppression))
    assert value == sum(order.total for order in made.orders)
    assert suppressed == len(set(made.suppressions["address"]))

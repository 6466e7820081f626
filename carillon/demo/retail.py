"""A real shop: the orders of Online Retail I and II (UCI), one order an invoice, its customers as contacts.

What the files do not hold is made up: addresses, telephone numbers and consents. All orders move by whole weeks, so that
the last of them fall into the demo's virtual days; nothing else about them is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from carillon.demo.draws import Cell, Numbers, texts
from carillon.demo.people import consents_of
from carillon.demo.shop import Order, Shop

OLDER, NEWER = "online_retail_II_2009_2010.parquet", "online_retail_2010_2011.parquet"
COLUMNS = {
    OLDER: ("Customer ID", "Invoice", "StockCode", "Quantity", "Price", "InvoiceDate", "Country"),
    NEWER: ("CustomerID", "InvoiceNo", "StockCode", "Quantity", "UnitPrice", "InvoiceDate", "Country"),
}
NEWER_BEGINS = "2010-12-01"
"""The files share nine days; their instants are text, in their order."""
LAST_DAYS = datetime(2011, 11, 24, tzinfo=UTC)
"""What comes later comes while the demo runs."""
WITH_PHONE = 0.64


class NoRetailError(ValueError):
    """The folder does not hold the two files, or they cannot be read here."""


@dataclass(frozen=True, slots=True)
class _Lines:
    """Invoice lines of known customers, sorted by time, then invoice."""

    customer: Numbers
    invoice: list[str]
    stock: list[str]
    quantity: Numbers
    cents: Numbers
    at: Numbers
    country: list[str]


def retail_shop(folder: Path, begins: datetime, seed: int = 1) -> tuple[Shop, int]:
    """The shop, and by how many weeks its orders moved; raises NoRetailError."""
    weeks = -(-(begins - LAST_DAYS).days // 7)
    lines = _read(folder)
    orders, first, country = _orders(lines, timedelta(weeks=weeks))
    edge = f"{begins.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    past = next((i for i, order in enumerate(orders) if order.at >= edge), len(orders))
    dice = np.random.Generator(np.random.PCG64(seed))
    known = [who for who, at in first.items() if at < edge]
    contacts = _contacts(dice, known, first, country)
    created = np.array([int(datetime.fromisoformat(first[who]).timestamp()) for who in known])
    consents = consents_of(dice, contacts, created)
    members = set(known)
    coming = [order for order in orders[past:] if order.contact in members]
    return Shop(contacts, consents, {}, orders[:past], coming, {}, "GBP"), weeks


def _read(folder: Path) -> _Lines:
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError:
        raise NoRetailError("Parquet files need the extra: pip install 'carillon[parquet]'") from None
    parts = []
    for name, columns in COLUMNS.items():
        if not (folder / name).is_file():
            raise NoRetailError(f"{folder} holds no {name}")
        part = pq.read_table(folder / name, columns=list(columns))
        part = part.rename_columns(["customer", "invoice", "stock", "quantity", "price", "at", "country"])
        if name == OLDER:
            part = part.filter(pc.less(part["at"], NEWER_BEGINS))
        parts.append(part.filter(pc.is_valid(part["customer"])))
    table = pa.concat_tables(parts).sort_by([("at", "ascending"), ("invoice", "ascending")])
    at = table["at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    price, quantity = table["price"].to_numpy(), table["quantity"].to_numpy().astype(np.int64)
    return _Lines(
        table["customer"].to_numpy().astype(np.int64), table["invoice"].to_pylist(), table["stock"].to_pylist(),
        quantity, np.rint(price * 100).astype(np.int64), at,
        table["country"].to_pylist(),
    )  # fmt: skip


def _orders(lines: _Lines, moved: timedelta) -> tuple[list[Order], dict[str, str], dict[str, str]]:
    """The orders in time; each customer's first order, and country."""
    at = texts(lines.at + int(moved.total_seconds()))
    starts: dict[str, int] = {}
    things: dict[str, list[dict[str, Any]]] = {}
    total: dict[str, int] = {}
    first: dict[str, str] = {}
    country: dict[str, str] = {}
    quantities, cents, customers = lines.quantity.tolist(), lines.cents.tolist(), lines.customer.tolist()
    for i, invoice in enumerate(lines.invoice):
        if invoice not in starts:
            starts[invoice], things[invoice], total[invoice] = i, [], 0
            who = f"r{customers[i]}"
            first.setdefault(who, str(at[i]))
            country.setdefault(who, lines.country[i])
        price = cents[i]
        things[invoice].append({"product_id": lines.stock[i], "price": price / 100, "quantity": quantities[i]})
        total[invoice] += price * quantities[i]
    orders = [
        Order(str(at[i]), f"r{customers[i]}", invoice, total[invoice], things[invoice]) for invoice, i in starts.items()
    ]
    return orders, first, country


def _contacts(
    dice: np.random.Generator, known: list[str], first: dict[str, str], country: dict[str, str]
) -> dict[str, list[Cell]]:
    phone = dice.random(len(known))
    return {
        "id": [*known],
        "email": [f"customer.{who}@example.com" for who in known],
        "phone": [
            f"+447400{i:06d}" if country[who] == "United Kingdom" and phone[i] < WITH_PHONE else None
            for i, who in enumerate(known)
        ],
        "country": [country[who] for who in known],
        "created_at": [first[who] for who in known],
    }

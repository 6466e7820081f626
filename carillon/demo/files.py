"""The shop's files as a user would bring them: CSV tables, and one JSON object a line for orders."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from carillon.demo.draws import Cell
from carillon.demo.shop import Order, Shop

ORDER_EVENT, VIEW_EVENT = "order_completed", "product_viewed"


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file with the import that reads it."""

    kind: Literal["contacts", "events", "consents", "suppressions"]
    path: Path
    event: str | None = None


def write_files(shop: Shop, folder: Path) -> list[ImportFile]:
    """Write the shop's files into `folder`; returns them in the order in which they are imported."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        ImportFile("contacts", _csv(folder / "contacts.csv", shop.contacts)),
        ImportFile("consents", _csv(folder / "consents.csv", shop.consents)),
        ImportFile("events", _jsonl(folder / "orders.jsonl", shop.orders), ORDER_EVENT),
    ]
    if shop.suppressions:
        files.append(ImportFile("suppressions", _csv(folder / "suppressions.csv", shop.suppressions)))
    if shop.views:
        files.append(ImportFile("events", _csv(folder / "product_views.csv", shop.views), VIEW_EVENT))
    return files


def _csv(path: Path, columns: dict[str, list[Cell]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def _jsonl(path: Path, orders: list[Order]) -> Path:
    with path.open("wb") as stream:
        stream.writelines(orjson.dumps(record(order)) + b"\n" for order in orders)
    return path


def record(order: Order) -> dict[str, object]:
    """The order as the shop says it, money in its own unit."""
    return {
        "contact": order.contact,
        "at": order.at,
        "order_id": order.order_id,
        "total": order.total / 100,
        "products": order.products,
    }

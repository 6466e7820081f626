"""A shop with a few declared fields, and imports through the real path."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from carillon.consent.standing import rules_of
from carillon.definition.build_data import BUILT_IN_CONTACT
from carillon.definition.model import Data, Field, Topic, Workspace
from carillon.kernel.channels import Channel
from carillon.people.importing import ImportResult, plan_import, run_import
from carillon.people.mapping import Source
from carillon.store.engine import Store

NOW = 1_790_000_000_000_000
WORKSPACE = Workspace(
    "shop", "Europe/Berlin", "EUR", "", {"de": ("DE",), "fr": ("FR",)}, "", {},
    {"offers": Topic("offers", "marketing", {}, {Channel.EMAIL: "explicit", Channel.SMS: "explicit"})},
    rates={"USD": Decimal("0.92")},
)  # fmt: skip
PRODUCT = {"product_id": Field("product_id", "word"), "price": Field("price", "money")}
DATA = Data(
    {
        **BUILT_IN_CONTACT,
        "tier": Field("tier", "one_of", ("basic", "gold")),
        "birthday": Field("birthday", "date"),
        "open_cases": Field("open_cases", "number"),
        "vip": Field("vip", "flag"),
    },
    {
        "order_completed": {
            "order_id": Field("order_id", "word"),
            "total": Field("total", "money"),
            "shipping": Field("shipping", "money"),
            "products": Field("products", "list", things=PRODUCT),
        },
        "cart_emptied": {"cart_id": Field("cart_id", "word")},
    },
)


@dataclasses.dataclass
class Shop:
    """A store, and files that are imported into it."""

    store: Store
    folder: Path

    def imports(
        self,
        kind: Any,
        text: str | bytes,
        name: str = "in.csv",
        *,
        now: int = NOW,
        progress: Any = None,
        commit_rows: int = 100_000,
        into: Any = None,
        **source: Any,
    ) -> ImportResult:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        plan = plan_import(
            kind, path, Source(**source), data=DATA, topics=tuple(WORKSPACE.topics), rules=rules_of(WORKSPACE),
            workspace_zone=WORKSPACE.timezone, at=now, currencies=WORKSPACE.currencies,
            into=into,
        )  # fmt: skip
        plan = dataclasses.replace(plan, commit_rows=commit_rows)
        return run_import(self.store, plan, **({"progress": progress} if progress else {}))

    def rows(self, *columns: Any, order_by: Any = None) -> list[tuple[Any, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(order_by))]


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


@pytest.fixture
def sqlite_shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    return Shop(sqlite_store, tmp_path)

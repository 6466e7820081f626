"""The demo's real shop: its orders are those that DuckDB finds in the two files, moved by whole weeks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carillon.demo.retail import NEWER, OLDER, NoRetailError, retail_shop

DATA = Path(__file__).parents[2].parent / "shared" / "data"
BEGINS = datetime(2027, 3, 7, 20, tzinfo=UTC)


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    """The first missing file stands in the sentence."""
    with pytest.raises(NoRetailError, match=f"holds no {OLDER}"):
        retail_shop(tmp_path, BEGINS)


@pytest.mark.soak
@pytest.mark.skipif(not (DATA / NEWER).exists(), reason="the Online Retail files are not here")
def test_orders_are_the_invoices_of_known_customers(tmp_path: Path) -> None:
    """Invoices, customers and cents before the demo's beginning are DuckDB's."""
    duckdb = pytest.importorskip("duckdb")
    shop, weeks = retail_shop(DATA, BEGINS)
    until = (BEGINS - timedelta(weeks=weeks)).strftime("%Y-%m-%d %H:%M:%S")
    orders, customers, cents = (
        duckdb.connect()
        .execute(
            """WITH line AS (
             SELECT Invoice AS invoice, "Customer ID" AS customer, Quantity AS n, Price AS price, InvoiceDate AS happened
             FROM read_parquet($older) WHERE InvoiceDate < '2010-12-01'
             UNION ALL SELECT InvoiceNo, CustomerID, Quantity, UnitPrice, InvoiceDate FROM read_parquet($newer)),
           invoice AS (SELECT invoice, any_value(customer) AS customer, min(happened) AS happened,
                       sum(round_even(price * 100, 0)::BIGINT * n) AS cents FROM line WHERE customer IS NOT NULL GROUP BY 1)
           SELECT count(*), count(DISTINCT customer), sum(cents) FROM invoice WHERE happened < $until""",
            {"older": str(DATA / OLDER), "newer": str(DATA / NEWER), "until": until},
        )
        .fetchone()
    )
    assert (len(shop.orders), len(shop.contacts["id"]), sum(o.total for o in shop.orders)) == (orders, customers, cents)
    assert shop.coming[-1].at > "2027-03-22"

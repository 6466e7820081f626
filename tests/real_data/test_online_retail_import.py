"""Both Online Retail files through the real commands: what comes in, what is refused, and why.

Refused is a line without a customer: nobody could be written to about it. What stands twice in all its fields (the two
files share nine days, and some invoices repeat a line) is one event. Cancellations are refunds. 18 lines have a price
with a fraction of a cent: their total is rounded, halves to the even cent. The million rows take over a minute on two busy
cores, so `make soak` reads them; by default the first 60,000 rows of the newer file are read.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from carillon.store import tables as t

E = t.event.c


def _one(imported: Any, *columns: Any, where: Any = None) -> tuple[Any, ...]:
    select = sa.select(*columns)
    with imported.store.read() as connection:
        return tuple(connection.execute(select if where is None else select.where(where)).one())


def test_a_slice_comes_in_exactly(online_retail_slice: Any) -> None:
    """Counts and cents are DuckDB's; a second import of the same file brings nothing."""
    duckdb = pytest.importorskip("duckdb")
    n, lines, customers, cents, refunds = duckdb.connect().execute(
        """WITH line AS (SELECT DISTINCT CustomerID, InvoiceNo, StockCode, Quantity, UnitPrice, InvoiceDate
                         FROM read_parquet($file) WHERE CustomerID IS NOT NULL),
                amount AS (SELECT *, round_even(Quantity * UnitPrice, 2) * 100 AS cents FROM line)
           SELECT (SELECT count(*) FROM read_parquet($file) WHERE CustomerID IS NULL), count(*),
                  count(DISTINCT CustomerID), sum(round(cents)::BIGINT), count(*) FILTER (Quantity < 0) FROM amount""",
        {"file": str(online_retail_slice.folder / "lines.parquet")},
    ).fetchone()  # fmt: skip
    said = online_retail_slice.said
    assert (said["contacts"]["refused"], said["lines"]["refused"], said["lines"]["reasons"]) == (
        n,
        n,
        {"no contact": n},
    )
    assert (said["contacts"]["counts"]["new"], said["lines"]["counts"]["new"]) == (customers, lines)
    assert said["lines"]["counts"]["of unknown contacts"] == 0
    assert said["lines again"]["counts"]["new"] == 0
    assert _one(online_retail_slice, sa.func.count(), sa.func.sum(E.value_cents)) == (lines, cents)
    assert _one(online_retail_slice, sa.func.count(), where=E.value_cents < 0) == (refunds,)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_all_rows_of_both_files(online_retail: Any) -> None:
    """1,067,370 rows: 243,007 without a customer, 26,481 told twice, 797,882 events of 5,942 customers."""
    said = online_retail.said
    assert said["older lines"]["rows"] + said["newer lines"]["rows"] == 1_067_370
    assert (said["older lines"]["reasons"], said["newer lines"]["reasons"]) == (
        {"no contact": 107_927},
        {"no contact": 135_080},
    )
    assert said["older lines"]["counts"] == {"new": 410_763, "known": 6_771, "of unknown contacts": 0}
    assert said["newer lines"]["counts"] == {"new": 387_119, "known": 19_710, "of unknown contacts": 0}
    assert _one(online_retail, sa.func.count(), sa.func.sum(E.value_cents)) == (797_882, 1_628_942_142)
    assert _one(online_retail, sa.func.count(), sa.func.sum(E.value_cents), where=E.value_cents < 0) == (
        18_390,
        -108_481_298,
    )
    assert _one(online_retail, sa.func.count(t.contact.c.id), sa.func.count(t.contact.c.country)) == (5_942, 5_933)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_other_rooms_get_a_filled_store(online_retail_store: Any) -> None:
    """Every event waits in an intake of the past, to be folded."""
    with online_retail_store.read() as connection:
        arrivals = connection.execute(sa.select(sa.func.count()).select_from(t.arrival)).scalar_one()
        histories = connection.execute(sa.select(t.intake.c.history).distinct()).scalars().all()
    assert (arrivals, histories) == (797_882, [1])

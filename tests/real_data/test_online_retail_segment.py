"""A segment on real orders: Online Retail I and II, compared with DuckDB reading the files directly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carillon.audience.known import facts_of
from carillon.audience.moment import Moment
from carillon.audience.reference import holds
from carillon.audience.select import count, matching, sample
from carillon.definition.conditions import All, Compare, Condition, ContactIs, FieldTest, HasEvent, Span, ThingsTest
from carillon.kernel.clock import to_micros
from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.by_contact import lay_by_contact
from carillon.store.engine import Store

duckdb = pytest.importorskip("duckdb")

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILES = (DATA / "online_retail_II_2009_2010.parquet", DATA / "online_retail_2010_2011.parquet")
pytestmark = pytest.mark.skipif(not all(f.exists() for f in FILES), reason="the Online Retail files are not here")

NOW = datetime(2011, 12, 10, tzinfo=UTC)
DAYS = 86_400

LINES = """
    CREATE TABLE lines AS
    SELECT invoice, stock, quantity, price, customer::BIGINT AS customer, country, moment::TIMESTAMP AS moment FROM (
        SELECT Invoice AS invoice, StockCode AS stock, Quantity AS quantity, Price AS price, "Customer ID" AS customer,
               Country AS country, InvoiceDate AS moment FROM read_parquet($older)
        WHERE InvoiceDate < '2010-12-01' -- the files share nine days
        UNION ALL
        SELECT InvoiceNo, StockCode, Quantity, UnitPrice, CustomerID, Country, InvoiceDate FROM read_parquet($newer)
    ) WHERE customer IS NOT NULL
"""
ORDERS = """
    SELECT customer, invoice, epoch_us(min(moment)) AS happened, sum((round(price * 100))::BIGINT * quantity) AS cents,
           to_json(list({'stock': stock, 'quantity': quantity})) AS products
    FROM lines GROUP BY customer, invoice ORDER BY happened, invoice
"""


@pytest.fixture(scope="module")
def retail() -> Any:
    """Both files in DuckDB: a million order lines."""
    connection = duckdb.connect()
    older, newer = (str(f) for f in FILES)
    connection.execute(LINES, {"older": older, "newer": newer})
    return connection


@pytest.fixture
def shop(retail: Any, sqlite_store: Store) -> Store:
    """The same orders as contacts and events, each order one event with its lines; refunds are negative."""
    countries = retail.execute("SELECT customer, arg_min(country, moment) FROM lines GROUP BY 1").fetchall()
    with sqlite_store.write("core") as connection:
        columns = ["id", "shop_id", "zone", "zone_source", "h31", "created_at", "attrs"]
        rows = (
            (c, str(c), "Europe/London", "workspace", 0, 0, json.dumps({"from": country})) for c, country in countries
        )
        insert_rows(connection, t.contact, columns, rows)
    with sqlite_store.write("events") as connection:
        columns = ["occurred_at", "hash64", "kind", "contact_id", "intake_id", "value_cents", "props"]
        insert_rows(connection, t.event, columns, _events(retail))
        lay_by_contact(connection, "events.event")
    return sqlite_store


def _events(retail: Any) -> Any:
    for number, (customer, invoice, at, cents, products) in enumerate(retail.execute(ORDERS).fetchall()):
        props = f'{{"order_id": {json.dumps(invoice)}, "total": {int(cents)}, "products": {products}}}'
        yield at, number, "order_completed", customer, 1, int(cents), props


def at(store: Store) -> Moment:
    return Moment(to_micros(NOW), store.dialect, "Europe/London")


def ids(store: Store, condition: Condition) -> set[int]:
    with store.read() as connection:
        return set(connection.scalars(matching(condition, at(store))))


LAPSED_SPENDERS = All(
    (
        HasEvent("order_completed", Span(seconds=730 * DAYS), sum_of="total", sum=Compare("over", 100_000)),
        HasEvent("order_completed", Span(seconds=180 * DAYS), count=Compare("is", 0)),
    )
)
REFERENCE = """
    WITH orders AS (SELECT customer, invoice, min(moment) AS moment,
                           sum((round(price * 100))::BIGINT * quantity) AS cents FROM lines GROUP BY 1, 2),
         moments AS (SELECT TIMESTAMP '2011-12-10' AS now)
    SELECT customer FROM orders, moments WHERE moment > now - INTERVAL 730 DAY AND moment <= now
    GROUP BY customer HAVING sum(cents) > 100000 AND max(moment) <= any_value(now) - INTERVAL 180 DAY
"""


def test_lapsed_customers_who_spent_over_1000_are_the_same_as_duckdb_finds(retail: Any, shop: Store) -> None:
    """Recency and spend over two years of real orders, refunds subtracted: identical sets of customers."""
    wanted = {row[0] for row in retail.execute(REFERENCE).fetchall()}
    assert ids(shop, LAPSED_SPENDERS) == wanted
    assert len(wanted) == 490


def test_german_buyers_of_one_article_are_the_same_as_duckdb_finds(retail: Any, shop: Store) -> None:
    """One line of an order has the article and at least twelve of it."""
    line = ThingsTest(
        "products", (FieldTest("stock", "word", "is", "22423"), FieldTest("quantity", "number", "at_least", 12))
    )
    germans = ContactIs((FieldTest("from", "word", "in", ("Germany", "France")),))
    wanted = retail.execute(
        """SELECT DISTINCT customer FROM lines WHERE stock = '22423' AND quantity >= 12 AND customer IN
           (SELECT customer FROM lines GROUP BY 1 HAVING arg_min(country, moment) IN ('Germany', 'France'))"""
    ).fetchall()
    found = ids(shop, All((germans, HasEvent("order_completed", where=(line,)))))
    assert found == {row[0] for row in wanted}
    assert len(found) == 7


def test_facts_read_back_from_the_store_give_the_same_answer(shop: Store) -> None:
    """The reference, asked with what the store knows of 50 members and 50 others, agrees with the set."""
    members = ids(shop, LAPSED_SPENDERS)
    with shop.read() as connection:
        some = sample(connection, LAPSED_SPENDERS, at(shop), 50)
        others = sorted(set(range(12_346, 12_450)) - members)[:50]
        known = facts_of(connection, [*some, *others], at(shop))
        assert count(connection, LAPSED_SPENDERS, at(shop)) == len(members)
    assert {number for number, facts in known.items() if holds(LAPSED_SPENDERS, facts, at(shop))} == set(some)

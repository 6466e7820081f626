"""A year of 20 million events of a million people, made inside the store by arithmetic that numpy repeats.

Of each hundred events 42 are deliveries, 20 opens and 5 clicks of earlier ones, 10 orders, 20 views, 3 carts; who does
them is skewed, so that a few do much. Everything lies as the product lays it: the fold's own statements make
`contact_stat` and `purchase`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.consent.permissions import assign_bits
from carillon.feedback import fold
from carillon.feedback.responses import lay_newest
from carillon.kernel.clock import DAY, Micros
from carillon.store.by_contact import lay_by_contact
from carillon.store.engine import Store

YEAR = 365 * DAY
COUNTRIES = ("DE", "GB", "FR", "AT", "IT", "NL", "ES", "US", "PL", "SE")
CATEGORIES = 40
_AT_ONCE = 1_000_000
_PRIME, _SPREAD = 2_147_483_647, 1_103_515_245
_KINDS = (
    (42, "message.delivered"), (62, "message.opened"), (67, "message.clicked"), (77, "order_completed"),
    (97, "product_viewed"), (100, "cart_updated"),
)  # fmt: skip
OPENS_LATER, CLICKS_LATER = 2_000, 4_000
"""An open follows its delivery by so many events, a click likewise."""


@dataclass(frozen=True, slots=True)
class History:
    """How much happened up to `now`."""

    contacts: int
    events: int
    now: Micros

    @property
    def step(self) -> Micros:
        """Time between two events."""
        return YEAR // self.events

    @property
    def began(self) -> Micros:
        return self.now - self.step * self.events

    # The same arithmetic as in the statements below, over whole columns.

    def at(self, numbers: np.ndarray) -> np.ndarray:
        return self.began + self.step * numbers

    def contact(self, numbers: np.ndarray) -> np.ndarray:
        share = numbers * _SPREAD % _PRIME * 1_000_000 // _PRIME
        return 1 + share * share // 1_000_000 * self.contacts // 1_000_000


def cents(numbers: np.ndarray) -> np.ndarray:
    """What an order was worth."""
    return 500 + numbers * 48_271 % _PRIME % 20_000


def category(numbers: np.ndarray) -> np.ndarray:
    """What was bought: `k7` is 7."""
    return numbers * 69_621 % _PRIME % CATEGORIES


def numbers_of(history: History, kind: str) -> np.ndarray:
    """The numbers of all events of a kind."""
    places = [(low, high) for low, high, name in _places() if name == kind]
    every = np.arange(history.events, dtype=np.int64)
    return every[(every % 100 >= places[0][0]) & (every % 100 < places[0][1])]


def _places() -> Iterator[tuple[int, int, str]]:
    low = 0
    for high, kind in _KINDS:
        yield low, high, kind
        low = high


def live_through(store: Store, history: History) -> None:
    """Put it all into the empty store."""
    with store.write("core") as connection:
        bit = 1 << assign_bits(connection, [("offers", "email")])["offers", "email"]
        connection.execute(
            sa.text(_CONTACTS.format(series=_series(store), country=_country())), _range(0, history.contacts)
        )
        connection.execute(sa.text(_STANDING), {"bit": bit})
    if store.dialect == "postgresql":
        _change(store, "DROP INDEX events.ix_event_contact")
    for first in range(0, history.events, _AT_ONCE):
        with store.write("events") as connection:
            _write_events(connection, store, history, first)
            lay_by_contact(connection, _span(history, first))
    if store.dialect == "postgresql":
        _change(
            store, "CREATE INDEX ix_event_contact ON events.event (contact_id, kind, occurred_at, value_cents)"
        )  # fmt: skip
    with store.write("events") as connection:
        _fold(connection, history)
    _settle_down(store)


def _write_events(connection: Connection, store: Store, history: History, first: int) -> None:
    said = {"began": history.began, "step": history.step, "contacts": history.contacts}
    span = _range(first, min(_AT_ONCE, history.events - first))
    props = "CAST(props AS JSONB)" if store.dialect == "postgresql" else "props"
    kinds = " ".join(f"WHEN n % 100 < {high} THEN '{kind}'" for high, kind in _KINDS)
    connection.execute(sa.text(_EVENTS.format(series=_series(store), props=props, kinds=kinds)), said | span)


def _fold(connection: Connection, history: History) -> None:
    """By the fold's own statements, over a view where it has a slice."""
    connection.exec_driver_sql(
        """CREATE TEMP VIEW fresh AS SELECT occurred_at, hash64, kind, contact_id, value_cents, 0 AS is_feedback
           FROM events.event WHERE kind NOT LIKE 'message.%'""".replace("%", "%%" if connection.dialect.name == "postgresql" else "%")
    )  # fmt: skip
    connection.execute(fold._STATISTICS)
    connection.execute(fold._PURCHASES)
    connection.exec_driver_sql("DROP VIEW fresh")
    connection.exec_driver_sql("INSERT INTO events.money_field (kind, field) VALUES ('order_completed', 'total')")
    said = {
        "began": history.began,
        "step": history.step,
        "opens": OPENS_LATER + 42,
        "clicks": CLICKS_LATER + 62,
        "n": history.events,
    }
    connection.execute(sa.text(_RESPONSES), said)
    lay_newest(connection, "SELECT DISTINCT contact_id FROM events.response")


def _span(history: History, first: int) -> str:
    """The events just written, as staged ones."""
    last = min(first + _AT_ONCE, history.events) - 1
    low, high = history.began + history.step * first, history.began + history.step * last
    return f"(SELECT occurred_at, hash64 FROM events.event WHERE occurred_at BETWEEN {low} AND {high})"


def _change(store: Store, statement: str) -> None:
    with store.write("events") as connection:
        connection.exec_driver_sql(statement)


def _settle_down(store: Store) -> None:
    """As a store lies that has been in use."""
    if store.dialect == "postgresql":
        with store.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
        return
    for part in ("core", "events"):
        with store.engine(part).connect() as connection:
            connection.connection.driver_connection.execute(f"PRAGMA {part}.wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]


def _series(store: Store) -> str:
    if store.dialect == "postgresql":
        return "(SELECT generate_series(CAST(:first AS BIGINT), :last) AS n) numbers"
    return "(WITH RECURSIVE up(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM up WHERE n < :last) SELECT n FROM up) numbers"


def _range(first: int, n: int) -> dict[str, int]:
    return {"first": first, "last": first + n - 1}


def _country() -> str:
    return " ".join(f"WHEN {place} THEN '{country}'" for place, country in enumerate(COUNTRIES))


_CONTACTS = """
    INSERT INTO core.contact (id, shop_id, email_key, invalid_bits, country, language, zone, zone_source, h31, created_at, attrs)
    SELECT n + 1, 'c' || CAST(n + 1 AS TEXT), 'c' || CAST(n + 1 AS TEXT) || '@mail.example', 0,
           CASE n % 10 {country} END, 'en', 'Europe/Berlin', 'country', n * 48271 % 2147483647, 0, '{{}}'
    FROM {series}"""
_STANDING = """
    INSERT INTO core.standing (contact_id, zone, language, country, allow_bits, deny_bits, closed_bits, h31)
    SELECT id, zone, language, country, CASE WHEN id % 5 < 3 THEN :bit ELSE 0 END, 0, 0, h31 FROM core.contact"""
# n: the event's number; about: the number of the delivery that it answers, else its own; who: as `History.contact`.
_EVENTS = """
    INSERT INTO events.event (occurred_at, hash64, kind, contact_id, intake_id, value_cents, node_id, enrolment_id, props)
    SELECT :began + :step * n, n, kind, 1 + share * share / 1000000 * :contacts / 1000000, 1,
           CASE kind WHEN 'order_completed' THEN 500 + n * 48271 % 2147483647 % 20000 END,
           CASE WHEN about >= 0 AND n % 100 < 67 THEN 1 END, CASE WHEN about >= 0 AND n % 100 < 67 THEN about END, {props}
    FROM (
      SELECT n, about, kind, about * 1103515245 % 2147483647 * 1000000 / 2147483647 AS share,
             CASE kind WHEN 'order_completed' THEN '{{"category":"k' || CAST(n * 69621 % 2147483647 % 40 AS TEXT)
                || '","order_id":"o' || CAST(n AS TEXT) || '","total":' || CAST(500 + n * 48271 % 2147483647 % 20000 AS TEXT) || '}}'
               WHEN 'product_viewed' THEN '{{"category":"k' || CAST(n % 40 AS TEXT) || '","product_id":"p' || CAST(n % 5000 AS TEXT) || '"}}'
               WHEN 'cart_updated' THEN '{{"cart_id":"c' || CAST(n AS TEXT) || '"}}'
               ELSE '{{"channel":"email","provider":"sendgrid"}}' END AS props
      FROM (SELECT n, CASE {kinds} END AS kind,
                   CASE WHEN n % 100 < 42 OR n % 100 >= 67 THEN n
                        WHEN n % 100 < 62 THEN abs(n - 2042) ELSE abs(n - 4062) END AS about
            FROM {series}) numbered) described
    ORDER BY n"""
_RESPONSES = """
    INSERT INTO events.response (node_id, enrolment_id, contact_id, delivered_at, first_open, first_click, opens, clicks)
    SELECT 1, hash64, contact_id, occurred_at,
           CASE WHEN hash64 % 100 < 20 AND hash64 + :opens < :n THEN occurred_at + CAST(:step AS BIGINT) * :opens END,
           CASE WHEN hash64 % 100 < 5 AND hash64 + :clicks < :n THEN occurred_at + CAST(:step AS BIGINT) * :clicks END,
           CASE WHEN hash64 % 100 < 20 AND hash64 + :opens < :n THEN 1 ELSE 0 END,
           CASE WHEN hash64 % 100 < 5 AND hash64 + :clicks < :n THEN 1 ELSE 0 END
    FROM events.event WHERE kind = 'message.delivered' ORDER BY hash64"""

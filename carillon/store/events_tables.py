"""Part events: what came in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, String, text
from sqlmodel import SQLModel

from carillon.store.columns import document, key, maybe_document, maybe_number, maybe_text, number, part, row_id, words


class Intake(SQLModel, table=True):
    """One commit of arriving things."""

    __tablename__ = "intake"
    __table_args__ = part(
        "events",
        Index("ix_intake_new", "id", sqlite_where=text("state = 'new'"), postgresql_where=text("state = 'new'")),
    )
    id: int | None = row_id()
    received_at: int = number()
    source: str = words()
    n: int = number(default=0)
    state: str = words("new")  # new | folded
    history: int = number(default=0)  # 1: an import of the past, which never enrols


class Event(SQLModel, table=True):
    """What a contact did (`order_completed`) or what became of a send (`message.clicked`)."""

    __tablename__ = "event"
    __table_args__ = part(
        "events",
        Index("ix_event_contact", "contact_id", "kind", "occurred_at", "value_cents", info={"only": "postgresql"}),
        Index(
            "ix_event_orphan", "orphan_key",
            sqlite_where=text("orphan_key IS NOT NULL"), postgresql_where=text("orphan_key IS NOT NULL"),
        ),
        rowid=False,
    )  # fmt: skip
    occurred_at: int = key()
    hash64: int = key()
    kind: str = words()
    contact_id: int | None = maybe_number()
    orphan_key: str | None = maybe_text()  # the unknown contact's id, until one comes
    intake_id: int = number()
    value_cents: int | None = maybe_number()  # the event's money, refunds negative
    currency: str | None = maybe_text()  # null: the workspace's
    node_id: int | None = maybe_number()  # feedback only: the send it speaks of
    enrolment_id: int | None = maybe_number()
    props: dict[str, Any] = document()


class ContactEvent(SQLModel, table=True):
    """The events of known contacts, each contact's together: what is asked about a person (`store/by_contact.py`).

    On SQLite a copy in this order; PostgreSQL, which keeps rows in no order, has an index and a view that looks alike.
    """

    __tablename__ = "contact_event"
    __table_args__ = part("events", rowid=False, only="sqlite")
    contact_id: int = key()
    kind: str = key(String)
    occurred_at: int = key()
    hash64: int = key()
    value_cents: int | None = maybe_number()
    props: dict[str, Any] | None = maybe_document()  # on SQLite only of events with money: those are asked for most


class Arrival(SQLModel, table=True):
    """The rows that an intake really inserted, until they are folded."""

    __tablename__ = "arrival"
    __table_args__ = part("events", rowid=False)
    intake_id: int = key()
    occurred_at: int = key()
    hash64: int = key()


class Signal(SQLModel, table=True):
    """What the fold found for others to act on: suppress, withdraw, exit, trigger, settle."""

    __tablename__ = "signal"
    __table_args__ = part("events", Index("ix_signal_kind", "kind", "id"))
    id: int | None = row_id()
    kind: str = words()  # event | suppress | withdraw | consent | settle
    campaign_id: int | None = maybe_number()
    node_id: int | None = maybe_number()
    enrolment_id: int | None = maybe_number()
    contact_id: int | None = maybe_number()
    subject: str = words("")  # kind=event: the event's kind; suppress: the address key; withdraw: topic/channel or ''
    thing: str = words("")
    reason: str = words("")
    history: int = number(default=0)
    at: int = number()
    event_at: int | None = maybe_number()
    event_hash: int | None = maybe_number()


class ContactStat(SQLModel, table=True):
    """Folded per contact and kind of event; answers ever, never and since when without reading events."""

    __tablename__ = "contact_stat"
    __table_args__ = part("events", rowid=False)
    kind: str = key(String)
    contact_id: int = key()
    n: int = number(default=0)
    value_cents: int = number(default=0)
    first_at: int = number()
    last_at: int = number()


class Purchase(SQLModel, table=True):
    """Narrow copy of events with money, in the order segments read them."""

    __tablename__ = "purchase"
    __table_args__ = part("events", rowid=False)
    contact_id: int = key()
    occurred_at: int = key()
    hash64: int = key()
    kind: str = words()
    value_cents: int = number()


class MoneyField(SQLModel, table=True):
    """The property that the money of all events of a kind was taken from; '' where that cannot be told of all."""

    __tablename__ = "money_field"
    __table_args__ = part("events", rowid=False)
    kind: str = key(String)
    field: str = words()


def _answered_at(column: str) -> Index:
    is_there = text(f"{column} IS NOT NULL")
    return Index(f"ix_response_{column}", column, "contact_id", sqlite_where=is_there, postgresql_where=is_there)


class Response(SQLModel, table=True):
    """What became of one send, folded; people and machines apart."""

    __tablename__ = "response"
    __table_args__ = part(
        "events",
        Index("ix_response_contact", "contact_id", "first_click", "first_open"),
        _answered_at("first_open"),
        _answered_at("first_click"),
        rowid=False,
    )
    node_id: int = key()
    enrolment_id: int = key()
    contact_id: int | None = maybe_number()
    processed_at: int | None = maybe_number()
    delivered_at: int | None = maybe_number()
    bounced_at: int | None = maybe_number()
    bounce: str | None = maybe_text()  # hard | soft | block
    complained_at: int | None = maybe_number()
    unsubscribed_at: int | None = maybe_number()
    first_open: int | None = maybe_number()  # a person's
    first_click: int | None = maybe_number()  # a person's
    opens: int = number(default=0)
    clicks: int = number(default=0)
    machine_open: int | None = maybe_number()
    machine_click: int | None = maybe_number()


class ContactResponse(SQLModel, table=True):
    """Folded per contact: the newest of the first opens and of the first clicks of its messages, people's alone."""

    __tablename__ = "contact_response"
    __table_args__ = part("events", rowid=False)
    contact_id: int = key()
    last_open: int | None = maybe_number()
    last_click: int | None = maybe_number()


class Redemption(SQLModel, table=True):
    """A code that stood in an order, in capitals, and when it first did."""

    __tablename__ = "redemption"
    __table_args__ = part("events", rowid=False)
    code: str = key(String)
    at: int = number()

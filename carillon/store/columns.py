"""How a column of a table is spelt: numbers, texts and documents alike on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Integer, SmallInteger, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field

from carillon.kernel.channels import SEND_NUMBER, Channel

Int64 = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is spelt INTEGER."""
Int32 = Integer()
Document = JSON().with_variant(JSONB(), "postgresql")

_CHANNEL_OF = {number: str(channel) for channel, number in SEND_NUMBER.items()}


class ChannelNumber(TypeDecorator[str]):
    """A channel's word outside, its number in the store: a byte or none a row, where rows are counted by the million."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else SEND_NUMBER[Channel(value)]

    def process_result_value(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else _CHANNEL_OF[value]


def row_id() -> Any:
    """A dense number that the store gives."""
    return Field(default=None, sa_column=Column("id", Int64, primary_key=True, autoincrement=True))


def key(kind: Any = Int64) -> Any:
    """A part of the primary key, given by us."""
    return Field(sa_column=Column(kind, primary_key=True, autoincrement=False, nullable=False))


def number(*, default: int | None = None) -> Any:
    """64 bits, never null: an id, an instant, cents or a count."""
    return Field(
        default=default,
        sa_column=Column(Int64, nullable=False, server_default=None if default is None else str(default)),
    )


def narrow() -> Any:
    """32 bits, never null: a number of what never is many."""
    return Field(sa_column=Column(Int32, nullable=False))


def channel_number() -> Any:
    """A channel, by its number."""
    return Field(default=Channel.EMAIL, sa_column=Column(ChannelNumber, nullable=False, server_default="0"))


def maybe_number() -> Any:
    """64 bits, or nothing."""
    return Field(default=None, sa_column=Column(Int64, nullable=True))


def words(default: str | None = None) -> Any:
    """Text, never null."""
    return Field(default=default, sa_column=Column(String, nullable=False, server_default=default))


def maybe_text() -> Any:
    """Text, or nothing."""
    return Field(default=None, sa_column=Column(String, nullable=True))


def document() -> Any:
    """A JSON document."""
    return Field(default_factory=dict, sa_column=Column(Document, nullable=False))


def maybe_document() -> Any:
    """A JSON document, or nothing."""
    return Field(default=None, sa_column=Column(Document, nullable=True))


def part(schema: str, *items: Any, rowid: bool = True, only: str | None = None) -> tuple[Any, ...]:
    """The table's part of the store and its constraints; without `rowid` its primary key is where it lies.

    `only` names the store on which it is a table; on the other one it is a view.
    """
    return (*items, {"schema": schema, "sqlite_with_rowid": rowid, "info": {"only": only} if only else {}})

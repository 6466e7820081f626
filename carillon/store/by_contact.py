"""A contact's events beside each other: on SQLite a copy of its own, laid in sets; on PostgreSQL `events.event` through an index.

An index of random contacts costs a page for each event that comes. A copy that is laid commit by commit, sorted, touches
each page once. Whoever writes `events.event` lays it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.store import tables as t


def lay_by_contact(connection: Connection, staged: str) -> None:
    """Lay the events whose keys are staged beside the others of their contacts; what lies there stays as it is."""
    lay(connection, _OF_KEYS.format(staged=staged))


def lay(connection: Connection, events: str, told: Mapping[str, Any] = MappingProxyType({})) -> None:
    """The same of events that a SELECT gives: contact_id, kind, occurred_at, hash64, value_cents, props."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text(_LAY.format(events=events)), told)


def same_event(one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    """Do both rows speak of one event?"""
    return sa.and_(one.c.occurred_at == other.c.occurred_at, one.c.hash64 == other.c.hash64)


def props_of(own: sa.FromClause, dialect: str) -> sa.ColumnElement[Any]:
    """The properties of a row of `contact_event`: where it lacks them, those of the event itself."""
    if dialect == "postgresql":
        return own.c.props
    event = t.event.alias()
    there = sa.select(event.c.props).where(same_event(event, own)).correlate_except(event).scalar_subquery()
    return sa.func.coalesce(own.c.props, there, type_=t.event.c.props.type)


# Sorted by one number: what lies within a contact lies on a page or two. FAIL: who fails here rolls back all of it, and
# pages are not copied first to undo the statement alone.
_LAY = """
    INSERT OR FAIL INTO events.contact_event (contact_id, kind, occurred_at, hash64, value_cents, props)
    SELECT contact_id, kind, occurred_at, hash64, value_cents, CASE WHEN value_cents IS NOT NULL THEN props END
    FROM ({events}) WHERE true
    ORDER BY contact_id
    ON CONFLICT (contact_id, kind, occurred_at, hash64) DO NOTHING"""
# CROSS: in the order in which the keys were staged, which is that of `event`.
_OF_KEYS = """
    SELECT e.contact_id, e.kind, e.occurred_at, e.hash64, e.value_cents, e.props
    FROM {staged} s CROSS JOIN events.event e ON e.occurred_at = s.occurred_at AND e.hash64 = s.hash64
    WHERE e.contact_id IS NOT NULL"""

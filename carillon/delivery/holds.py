"""Connectors on hold: refused credentials stop a connector, never its sends, until a person says go on."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.store.engine import Store, rowcount
from carillon.store.tables import audit, batch, pace

RESUMED = "resume connector"
"""In the audit: a person's word that a connector works again."""


def hold(connection: Connection, connector: str, reason: str, at: Micros) -> None:
    """Nothing more is claimed for this connector; the first reason stands."""
    held = sa.update(pace).where(pace.c.connector == connector)
    reason_stands = sa.func.coalesce(pace.c.held_reason, reason)
    if rowcount(connection.execute(held.values(held_reason=reason_stands))) == 0:
        connection.execute(sa.insert(pace).values(connector=connector, tokens=0, at=at, held_reason=reason))


def go_on(store: Store, connector: str, *, who: str, why: str, at: Micros) -> int:
    """A person says that the connector works again: how many people wait for it, none where it was not held."""
    with store.write("ledger") as connection:
        held = sa.update(pace).where(pace.c.connector == connector, pace.c.held_reason.is_not(None))
        if rowcount(connection.execute(held.values(held_reason=None, rest_until=None, strikes=0))) == 0:
            return 0
        waiting = connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(batch.c.n), 0)).where(
                batch.c.connector == connector, batch.c.state == "ready"
            )
        ).scalar_one()
    with store.write("core") as connection:
        row = {"at": at, "who": who, "what": RESUMED, "subject": connector, "details": why}
        connection.execute(sa.insert(audit).values(**row))
    return int(waiting)


def resumed_at(connection: Connection, connector: str) -> Micros | None:
    """When a person last let this connector go on: what was handed over before says nothing about it since."""
    its = sa.and_(audit.c.what == RESUMED, audit.c.subject == connector)
    newest: Micros | None = connection.scalar(sa.select(sa.func.max(audit.c.at)).where(its))
    return newest


def held_connectors(connection: Connection) -> Mapping[str, str]:
    """Connector → why it is on hold."""
    rows = connection.execute(sa.select(pace.c.connector, pace.c.held_reason).where(pace.c.held_reason.is_not(None)))
    return {row.connector: row.held_reason for row in rows}

"""Local time in SQL needs the periods of every zone in use: made where they are missing, before anything is asked."""

from __future__ import annotations

import sqlalchemy as sa

from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.localtime import ensure_zone_periods


def ready_for_zones(store: Store, *others: str) -> None:
    """Fill `zone_period` for the zones of all contacts, and for these; writes nothing where they are there."""
    with store.read() as connection:
        zones = {*others, *connection.scalars(sa.select(t.standing.c.zone).distinct())}
        known = set(connection.scalars(sa.select(t.zone_period.c.zone).distinct()))
    if zones - known:
        with store.write("core") as connection:
            ensure_zone_periods(connection, zones)

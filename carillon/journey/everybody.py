"""Everybody who matches the audience: whom a wave of the calendar takes in and whom `plan` counts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.moment import of_contact
from carillon.journey.ground import Ground
from carillon.store import tables as t


def everybody(ground: Ground, arrived_at: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Who matches the audience at this instant.

    Columns: contact_id, arrived_at, thing, trigger_at, trigger_hash, zone, h31.
    """
    nothing = sa.cast(sa.null(), sa.BigInteger())
    return (
        sa.select(
            t.contact.c.id.label("contact_id"),
            arrived_at.label("arrived_at"),
            sa.literal("").label("thing"),
            nothing.label("trigger_at"),
            nothing.label("trigger_hash"),
            t.standing.c.zone.label("zone"),
            t.standing.c.h31.label("h31"),
        )
        .join_from(t.contact, t.standing, t.standing.c.contact_id == t.contact.c.id)
        .where(t.contact.c.merged_into.is_(None), t.contact.c.erased_at.is_(None))
        .where(where(ground.applied.plan.audience, of_contact(), ground.moment))
    )

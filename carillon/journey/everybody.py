"""Everybody who matches the audience: whom a wave of the calendar takes in and whom `plan` counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from carillon.audience.evaluate import where
from carillon.audience.fields import BUILT_IN
from carillon.audience.moment import of_contact
from carillon.definition.model import Top
from carillon.journey.ground import Ground
from carillon.store import tables as t
from carillon.store.bulk import many_rows
from carillon.store.json import integer_at, number_at, text_at

IN_ORDER = {"people_in_order": True}
"""Of a Select whose people come by their contact id: nobody has to sort them."""


def everybody(ground: Ground, arrived_at: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Who matches the audience at this instant.

    Columns: contact_id, arrived_at, thing, trigger_at, trigger_hash, zone, h31.
    """
    people = (
        _people(t.contact, t.contact.c.id, arrived_at)
        .where(t.contact.c.merged_into.is_(None), t.contact.c.erased_at.is_(None))
        .where(where(ground.applied.plan.audience, of_contact(), ground.moment))
    )
    return people if ground.applied.plan.top is None else _highest(people, ground.applied.plan.top)


def these(ids: Iterable[int], arrived_at: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """The same columns of these contacts, who are known to match; given by id they come by id."""
    them = many_rows(ids)
    return _people(them, them.c.value, arrived_at).execution_options(**IN_ORDER)


def _people(
    source: sa.FromClause, contact_id: sa.ColumnElement[int], arrived_at: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    nothing = sa.cast(sa.null(), sa.BigInteger())
    return sa.select(
        contact_id.label("contact_id"),
        arrived_at.label("arrived_at"),
        sa.literal("").label("thing"),
        nothing.label("trigger_at"),
        nothing.label("trigger_hash"),
        t.standing.c.zone.label("zone"),
        t.standing.c.h31.label("h31"),
        # Everybody has a standing; from an outer join both stores leave it out where nothing asks for it.
    ).join_from(source, t.standing, t.standing.c.contact_id == contact_id, isouter=True)


def _highest(people: sa.Select[Any], top: Top) -> sa.Select[Any]:
    """The first so many by the field; of equals those with the lower contact id."""
    c = t.contact.c
    value: sa.ColumnElement[Any]
    if top.by in BUILT_IN:
        value = c[BUILT_IN[top.by]]
    elif top.type == "date":
        value = text_at(c.attrs, (top.by,))
    else:
        value = number_at(c.attrs, (top.by,)) if top.type == "number" else integer_at(c.attrs, (top.by,))
    place = sa.func.row_number().over(order_by=[value.desc(), c.id])
    ranked = people.where(value.is_not(None)).add_columns(place.label("place")).subquery("ranked")
    return sa.select(*(column for column in ranked.c if column.name != "place")).where(ranked.c.place <= top.count)

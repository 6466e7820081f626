"""A person's yes: until it stands nobody of the campaign moves or is decided, and waiting for it makes nobody late.

A yes is a row of `approval`. Without a wave it covers all of a meaning, but for entries that repeat: each of their waves
has a yes of its own. A wave that a brake stopped has one, too, whoever may give it.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.definition.entries import Recurring, entry_key
from carillon.kernel.clock import Micros
from carillon.plan.applied import Applied
from carillon.plan.model import Plan
from carillon.store import tables as t

ALL = ""
"""The wave of an approval that covers all of its meaning."""


def wave_key(entry: str, ref: str) -> str:
    """A wave as an approval names it."""
    return f"{entry}:{ref}"


def repeating(plan: Plan) -> tuple[str, ...]:
    """The entries whose every wave wants its own yes, as waves name them."""
    return tuple(sorted({entry_key(entry) for entry in plan.entries if isinstance(entry, Recurring)}))


def gates(connection: Connection, applied: Applied) -> Mapping[int, sa.ColumnElement[bool]]:
    """Version → which of its enrolments have the yes that they need; versions that need none are left out."""
    return {
        version_id: _has_yes(connection, applied, version_id, plan)
        for version_id, plan in applied.versions.items()
        if plan.approval_by
    }


def has_yes_to_all(connection: Connection, applied: Applied, version_id: int) -> bool:
    """Whether somebody who is asked has said yes to the version as a whole."""
    return (
        connection.scalar(sa.select(sa.exists(said_to(applied, version_id).where(t.approval.c.wave == ALL)))) or False
    )


def has_yes_to_wave(connection: Connection, applied: Applied, version_id: int, key: str) -> bool:
    """Whether somebody who is asked has said yes to this wave of the version."""
    return (
        connection.scalar(sa.select(sa.exists(said_to(applied, version_id).where(t.approval.c.wave == key)))) or False
    )


def said_to(applied: Applied, version_id: int) -> sa.Select[tuple[Micros]]:
    """The instants at which somebody who is asked said yes to this meaning, or to a wave of it."""
    a, asked = t.approval.c, [who.lower() for who in applied.versions[version_id].approval_by]
    mine = sa.and_(a.campaign_id == applied.id, a.meaning == applied.meanings[version_id])
    return sa.select(a.at).where(mine, sa.func.lower(a.by).in_(asked))


def _has_yes(connection: Connection, applied: Applied, version_id: int, plan: Plan) -> sa.ColumnElement[bool]:
    whole = sa.true() if has_yes_to_all(connection, applied, version_id) else sa.false()
    if not (each := repeating(plan)):
        return whole
    wave, e = t.wave.alias("its_wave"), t.enrolment.c
    its = sa.select(wave.c.id).where(wave.c.id == e.wave_id).correlate(t.enrolment)
    said = said_to(applied, version_id).where(t.approval.c.wave == wave.c.entry + ":" + wave.c.ref)
    own = its.where(wave.c.entry.in_(each), said.correlate(wave).exists()).exists()
    return sa.or_(own, sa.and_(whole, its.where(wave.c.entry.not_in(each)).exists()))

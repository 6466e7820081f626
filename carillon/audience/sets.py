"""Membership: "is among those who …", in the form that each store answers fast.

SQLite builds the set of an uncorrelated IN once and looks people up in it. PostgreSQL turns EXISTS and NOT EXISTS into
hash joins, while its NOT IN over a large set re-reads that set for every row once it outgrows `work_mem`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from carillon.audience.moment import Expression, Moment, Predicate, Subject


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows about contacts: where they stand, which of them count, and what must hold of a contact's group of them."""

    source: sa.FromClause
    contact_id: Expression
    where: tuple[Predicate, ...]
    group: Predicate | None = None
    inner: tuple[sa.FromClause, ...] = field(default=())
    """Tables inside `source` that belong to it alone, so that they are never taken for the caller's."""
    correlated: bool = False
    """`where` reads the caller's row (its enrolment, its trigger), so it can only be asked row by row."""

    def only(self, *where: Predicate) -> Rows:
        """Rows of the same source that fulfil other demands."""
        return Rows(self.source, self.contact_id, where, self.group, self.inner, self.correlated)

    def having(self, group: Predicate | None) -> Rows:
        """The same rows with another demand on the group."""
        return Rows(self.source, self.contact_id, self.where, group, self.inner, self.correlated)


def among(rows: Rows, subject: Subject, at: Moment) -> Predicate:
    """Is the contact one of those with such rows (and such a group of them)? Never NULL."""
    if subject.few or rows.correlated or (at.dialect == "postgresql" and rows.group is None):
        return _for_each(rows, subject)
    members = _members(rows)
    if at.dialect == "sqlite":
        return subject.contact_id.in_(members)
    found = members.subquery()
    return sa.exists(
        sa.select(sa.literal(1)).where(found.c.member == subject.contact_id).correlate_except(found)
    )  # fmt: skip


def weighs(at: Moment) -> bool:
    """Does the store choose in which order the parts of a question are asked? SQLite asks as it is written."""
    return at.dialect == "postgresql"


def _members(rows: Rows) -> sa.Select[tuple[int]]:
    # NULL among the members would turn NOT IN into NULL for everybody.
    query = (
        sa.select(rows.contact_id.label("member"))
        .select_from(rows.source)
        .where(rows.contact_id.is_not(None), *rows.where)
        .correlate(None)
    )
    return query if rows.group is None else query.group_by(rows.contact_id).having(rows.group)


def _for_each(rows: Rows, subject: Subject) -> Predicate:
    query = (
        sa.select(sa.literal(1))
        .select_from(rows.source)
        .where(rows.contact_id == subject.contact_id, *rows.where)
        .correlate_except(*(rows.inner or (rows.source,)))
    )
    return sa.exists(query if rows.group is None else query.group_by(rows.contact_id).having(rows.group))

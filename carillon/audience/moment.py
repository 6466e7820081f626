"""What a condition is asked of (`Subject`), when, and in whose words (`Moment`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

import sqlalchemy as sa

from carillon.definition.conditions import Condition
from carillon.kernel.clock import Micros
from carillon.kernel.durations import Span
from carillon.kernel.time.calendar import add_span
from carillon.store import tables

Expression = sa.ColumnElement[Any]
Predicate = sa.ColumnElement[bool]


class ConditionError(ValueError):
    """A condition that cannot be asked here: a word without an engine, a journey's word in a segment, a cycle."""


class Permissions(Protocol):
    """How `reachable` and `consent` read a row of `standing`; the rooms `consent` and `policy` know."""

    def allowed(self, standing: sa.FromClause, topic: str, channel: str) -> Predicate:
        """Does consent suffice for the topic on the channel?"""
        ...

    def open(self, standing: sa.FromClause, channel: str) -> Predicate:
        """Is there a valid address on the channel that is not suppressed?"""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """The instant and the words that a condition is asked with; the same Moment gives the same answer.

    `timezone` is the workspace's: calendar months of `in_last` count on its clock. `folded` promises that every intake
    is folded, so that `contact_stat` may answer for events.
    """

    now: Micros
    dialect: Literal["sqlite", "postgresql"]
    timezone: str = "UTC"
    campaign: str | None = None
    """The campaign whose steps `received: STEP` and `since: STEP` name."""
    topic: str | None = None
    """Its topic: what `reachable` and `consent` speak of."""
    segments: Mapping[str, Condition] = field(default_factory=dict)
    messages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Message → the steps of this campaign that send it."""
    topics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Topic → the campaigns under it."""
    permissions: Permissions | None = None
    folded: bool = False
    money: Mapping[str, str] = field(default_factory=dict)
    """Kind of event → the property of which `value_cents` is the money, as `people.ingest.money_fields` knows it."""
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """Currency → what one unit of it is worth in the workspace's."""

    def ago(self, span: Span) -> Micros:
        """The instant that lies `span` before now."""
        return add_span(self.timezone, self.now, seconds=-span.seconds, months=-span.months)

    def ahead(self, span: Span) -> Micros:
        """The instant that lies `span` after now."""
        return add_span(self.timezone, self.now, seconds=span.seconds, months=span.months)


@dataclass(frozen=True, slots=True)
class Subject:
    """The columns of the caller's FROM that a condition may read.

    `few` says how to ask of other tables: True asks for each row of the FROM (an index look-up a person: right for due
    people and for one contact), False builds the set of all who fulfil it once (right for a whole audience).
    """

    contact_id: Expression
    contact: sa.FromClause | None = None
    """`core.contact` or an alias of it, where the FROM has it; else it is looked up."""
    standing: sa.FromClause | None = None
    enrolment: sa.FromClause | None = None
    """`ledger.enrolment`, an alias, or any FROM with its columns (id, entered_at, arrived_at, node_id, trigger_at …)."""
    few: bool = False
    reached: Callable[[str], Expression] | None = None
    """The instant from which `since: STEP` counts, where the caller knows better than `since.reached`."""
    until: Expression | None = None
    """The instant up to which events count, where it lies before the moment."""


def of_contact(contact: sa.FromClause = tables.contact, *, few: bool = False) -> Subject:
    """The subject of a FROM that holds `core.contact`."""
    return Subject(contact.c.id, contact=contact, few=few)


def of_enrolment(
    enrolment: sa.FromClause = tables.enrolment,
    *,
    contact: sa.FromClause | None = None,
    standing: sa.FromClause | None = None,
) -> Subject:
    """The subject of a FROM that holds `ledger.enrolment`; asked person by person, because due people are few."""
    return Subject(enrolment.c.contact_id, contact=contact, standing=standing, enrolment=enrolment, few=True)

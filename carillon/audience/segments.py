"""What `segment count` and `segment show` tell of a named segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.known import expressions_of, facts_of
from carillon.audience.moment import Moment
from carillon.audience.reference import Trace, trace
from carillon.audience.select import matching, present, sample
from carillon.definition.model import Segment
from carillon.kernel.clock import Micros
from carillon.store import tables as t


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """How many people a segment holds, of how many; and whom of them a message could reach."""

    name: str
    title: str
    members: int
    contacts: int
    reachable: dict[str, int]
    """Channel → members with an open address there and, where a topic is asked for, consent."""
    newest_event_at: Micros | None

    @property
    def share(self) -> float:
        """Members of all contacts, from 0 to 1."""
        return self.members / self.contacts if self.contacts else 0.0


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a segment, with the reason."""

    shop_id: str
    email: str | None
    country: str | None
    why: str


def count_segment(connection: Connection, segment: Segment, at: Moment, channels: Sequence[str]) -> SegmentCount:
    """Count a segment's members, in one pass."""
    members = matching(segment.who, at).subquery()
    standing = t.standing
    open_ones = [_sum(_can_be_reached(standing, at, channel)).label(f"on_{channel}") for channel in channels]
    query = sa.select(sa.func.count().label("n"), *open_ones).select_from(
        members.outerjoin(standing, standing.c.contact_id == members.c.id)
    )
    found = connection.execute(query).one()
    everyone = connection.execute(sa.select(sa.func.count()).select_from(t.contact).where(*present())).scalar_one()
    newest = connection.execute(sa.select(sa.func.max(t.event.c.occurred_at))).scalar()
    reachable = {channel: int(found._mapping[f"on_{channel}"] or 0) for channel in channels}
    return SegmentCount(segment.name, segment.title, found.n, everyone, reachable, newest)


def show_segment(
    connection: Connection, segment: Segment, at: Moment, limit: int, pairs: Sequence[tuple[str, str]]
) -> list[Member]:
    """Some members, the lowest ids first, each with the facts that make it one."""
    ids = sample(connection, segment.who, at, limit)
    known = facts_of(connection, ids, at, pairs=pairs, sql=expressions_of(segment.who, at.segments))
    members = []
    for facts in (known[contact_id] for contact_id in ids):
        fields = facts.fields
        why = "; ".join(dict.fromkeys(reasons(trace(segment.who, facts, at)))) or "everyone is in"
        members.append(Member(fields["id"], fields.get("email"), fields.get("country"), why))
    return members


def reasons(asked: Trace) -> list[str]:
    """The facts that decide an answer: of alternatives only those that came out the same way."""
    if not asked.parts:
        return [asked.found or (asked.asks if asked.holds else f"not {asked.asks}")]
    deciding = [part for part in asked.parts if part.holds is asked.holds] or list(asked.parts)
    return [reason for part in deciding for reason in reasons(part)]


def _can_be_reached(standing: sa.FromClause, at: Moment, channel: str) -> sa.ColumnElement[bool]:
    assert at.permissions is not None
    is_open = at.permissions.open(standing, channel)
    return is_open if at.topic is None else sa.and_(is_open, at.permissions.allowed(standing, at.topic, channel))


def _sum(holds: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((holds, 1), else_=0))

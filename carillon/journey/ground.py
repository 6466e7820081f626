"""What every stage stands on: the applied campaign, the house rules and the instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from carillon.audience.moment import Moment
from carillon.journey.approval import gates
from carillon.kernel.clock import Micros
from carillon.people.ingest import money_fields
from carillon.plan.applied import Applied, campaigns_by_topic, load_campaign, load_rules
from carillon.plan.permissions import HousePermissions
from carillon.plan.rules import Rules
from carillon.store.engine import Store


@dataclass(frozen=True, slots=True)
class Ground:
    """One campaign at one instant of campaign time."""

    store: Store
    applied: Applied
    rules: Rules
    now: Micros
    topics: Mapping[str, tuple[str, ...]]
    """Topic → the campaigns under it."""
    gates: Mapping[int, sa.ColumnElement[bool]] = field(default_factory=dict)
    """Version that wants a person's yes → which of its enrolments have it."""
    money: Mapping[str, str] = field(default_factory=dict)
    """As `Moment.money`."""

    def gate(self, version_id: int) -> sa.ColumnElement[bool]:
        """Which enrolments of a version may go on: all, where nobody's yes is wanted."""
        return self.gates.get(version_id, sa.true())

    @property
    def moment(self) -> Moment:
        """The words and the instant that this campaign's conditions are asked with."""
        steps: dict[str, list[str]] = {}
        for node in (n for plan in self.applied.versions.values() for n in plan.ways):
            steps.setdefault(node.message, []).append(node.id)
        return Moment(
            now=self.now,
            dialect=self.store.dialect,
            timezone=self.rules.timezone,
            campaign=self.applied.name,
            topic=self.applied.plan.topic,
            messages={message: tuple(dict.fromkeys(ids)) for message, ids in steps.items()},
            topics=self.topics,
            permissions=HousePermissions(self.rules),
            money=self.money,
            rates=self.rules.rates,
        )


def load_ground(store: Store, campaign: str, now: Micros) -> Ground:
    """The ground of an applied campaign; raises LookupError where it was never applied."""
    with store.read() as connection:
        applied = load_campaign(connection, campaign)
        topics, open_to = campaigns_by_topic(connection), gates(connection, applied)
        return Ground(store, applied, load_rules(connection), now, topics, open_to, money_fields(connection))

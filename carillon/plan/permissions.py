"""Which permission a message needs, by the house rules: the bridge from topics to the columns of `standing`."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from carillon.consent.expressions import allowed_sql, closed_sql
from carillon.consent.permissions import ConsentKind
from carillon.consent.standing import StandingRules
from carillon.kernel.channels import Channel
from carillon.plan.rules import Rules


@dataclass(frozen=True, slots=True)
class HousePermissions:
    """How `reachable`, `consent` and the policy read a row of `standing` under these rules."""

    rules: Rules

    def kind(self, topic: str, channel: str) -> ConsentKind:
        """What a yes must be: a transactional topic needs none, a channel that the topic does not name is closed."""
        rule = self.rules.topic(topic)
        if not rule.marketing:
            return "none"
        return rule.consent.get(channel, "closed")

    def of(self, topic: str) -> str:
        """The topic whose consent is read: its own, or the one that is asked for under it."""
        return self.rules.topic(topic).asks_for or topic

    def allowed(self, standing: sa.FromClause, topic: str, channel: str) -> sa.ColumnElement[bool]:
        """Does consent suffice for the topic on the channel?"""
        return allowed_sql(self.of(topic), Channel(channel), self.kind(topic, channel), standing)

    def open(self, standing: sa.FromClause, channel: str) -> sa.ColumnElement[bool]:
        """Is there a valid address on the channel that is not suppressed?"""
        return sa.not_(closed_sql(Channel(channel), standing))


def standing_rules(rules: Rules) -> StandingRules:
    """What the fold of `standing` takes from the house rules."""
    countries = {
        language: tuple(country for country, spoken in rules.country_language.items() if spoken == language)
        for language in rules.languages
    }
    double = {
        (topic.name, channel)
        for topic in rules.topics.values()
        for channel, kind in topic.consent.items()
        if kind == "double"
    }
    return StandingRules(countries, frozenset(double))

"""What a refusal means for people: an address that a provider refuses for good is suppressed.

No transaction writes two parts: the settlement keeps the address in the ledger, and from there core learns of it.
"""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from carillon.consent.standing import StandingRules
from carillon.consent.suppression import Suppressed, suppress
from carillon.delivery.settling import STOP
from carillon.plan.rules import Rules
from carillon.store.bulk import many
from carillon.store.engine import Store
from carillon.store.tables import refusal

MOST_AT_ONCE = 10_000


def suppress_refused(store: Store, rules: Rules) -> int:
    """Suppress the addresses whose refusals the ledger keeps, then let go of these; how many were not suppressed before.

    Of a crash between the two commits nothing is left but a repetition, which changes nothing.
    """
    with store.read() as connection:
        rows = connection.execute(sa.select(refusal).order_by(refusal.c.id).limit(MOST_AT_ONCE)).all()
    if not rows:
        return 0
    refused = [Suppressed(row.address_key, row.channel, _reason(row.reason), row.at) for row in rows]
    with store.write("core") as connection:
        new = suppress(connection, standing_rules(rules), refused)
    with store.write("ledger") as connection:
        connection.execute(sa.delete(refusal).where(refusal.c.id.in_(many([row.id for row in rows]))))
    return new + suppress_refused(store, rules)


def _reason(kept: str) -> str:
    return kept if kept == STOP else f"refused: {kept}"


def standing_rules(rules: Rules) -> StandingRules:
    """What the fold of `standing` takes from the house rules."""
    countries: dict[str, list[str]] = defaultdict(list)
    for country, language in rules.country_language.items():
        countries[language].append(country)
    double = {
        (topic.name, channel)
        for topic in rules.topics.values()
        for channel, kind in topic.consent.items()
        if kind == "double"
    }
    return StandingRules({language: tuple(countries[language]) for language in rules.languages}, frozenset(double))

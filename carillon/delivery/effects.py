"""What a refusal means for people: an address that a provider refuses for good is suppressed.

Written to core after the ledger's commit, because no transaction writes two parts; doing it twice changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from carillon.consent.standing import StandingRules
from carillon.consent.suppression import Suppressed, suppress
from carillon.delivery.model import Effect
from carillon.kernel.clock import Micros
from carillon.plan.rules import Rules
from carillon.store.engine import Store


def apply_effects(store: Store, rules: Rules, effects: Sequence[Effect], at: Micros) -> int:
    """Suppress the refused addresses; how many were not suppressed before."""
    if not effects:
        return 0
    rows = [Suppressed(e.address, e.channel.value, f"refused: {e.reason}", at) for e in effects]
    with store.write("core") as connection:
        return suppress(connection, standing_rules(rules), rows)


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

"""What core has left to be told, told under the house rules: which yes subscribes, and where nobody need say one."""

from __future__ import annotations

from carillon.consent.notices import has_notices
from carillon.kernel.clock import Micros
from carillon.people.telling import tell
from carillon.plan.applied import load_rules
from carillon.store.engine import Store


def tell_notices(store: Store, now: Micros) -> int:
    """Tell new contacts and changed consents as events; returns how many were new.

    Before the first apply nobody listens, and no rule says what a yes is: the notices wait.
    """
    if not has_notices(store):
        return 0
    try:
        with store.read() as connection:
            rules = load_rules(connection)
    except LookupError:
        return 0
    kinds = {(topic.name, channel): kind for topic in rules.topics.values() for channel, kind in topic.consent.items()}
    double = [pair for pair, kind in kinds.items() if kind == "double"]
    assumed = [pair for pair, kind in kinds.items() if kind == "assumed"]
    return tell(store, now, double=double, assumed=assumed)

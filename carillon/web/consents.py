"""What contacts said about being written to, by the API: a sign-up form's yes, a shop's own confirmation, a no."""

from __future__ import annotations

from collections.abc import Sequence

from carillon.consent.record import Said, record_consents
from carillon.kernel.channels import TO_PEOPLE
from carillon.kernel.clock import DAY, Micros, to_micros
from carillon.kernel.problems import did_you_mean
from carillon.people.ingest import contact_ids
from carillon.plan.permissions import standing_rules
from carillon.plan.rules import Rules
from carillon.store.engine import Store
from carillon.web.messages import Consent

SOURCE = "api"


def record(store: Store, rules: Rules, messages: Sequence[Consent], now: Micros) -> list[str]:
    """Record them; returns why not for each, empty where it was done. The same word at the same instant is one row."""
    with store.read() as connection:
        ids = contact_ids(connection, {message.userId for message in messages})
    reasons = [_why_not(message, rules, ids, now) for message in messages]
    said = [
        Said(ids[m.userId], m.topic, m.channel, m.state, SOURCE, m.evidence, now if m.at is None else to_micros(m.at))
        for m, reason in zip(messages, reasons, strict=True)
        if not reason
    ]
    if said:
        with store.write("core") as connection:
            record_consents(connection, standing_rules(rules), said)
    return reasons


def _why_not(message: Consent, rules: Rules, ids: dict[str, int], now: Micros) -> str:
    topics = {name: rule for name, rule in rules.topics.items() if rule.asks_for is None}
    topic = topics.get(message.topic)
    if topic is None:
        return f"no topic {message.topic!r}; {did_you_mean(message.topic, topics)}"
    channels = list(topic.consent) if topic.marketing else [str(channel) for channel in TO_PEOPLE]
    if message.channel not in channels:
        return f"{message.channel!r} is no channel of {topic.name}: {', '.join(channels)}"
    if message.userId not in ids:
        return f"no contact {message.userId!r} is known: identify it first"
    if message.at is not None and to_micros(message.at) > now + DAY:
        return "its timestamp lies more than a day ahead"
    return ""

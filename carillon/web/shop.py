"""What the shop posted, typed as data.yaml declares it, and stored by the people room; each item that cannot be is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from carillon.definition.model import Data
from carillon.feedback.adopt import adopt_aliases
from carillon.feedback.signals import ENTER_EVENT
from carillon.kernel.clock import DAY, Micros, to_micros
from carillon.kernel.problems import did_you_mean
from carillon.people.events import EventShape, event_hash, json_text
from carillon.people.fields import Reading, currency_of, is_blank
from carillon.people.ingest import ArrivedEvent, contact_ids
from carillon.people.shapes import CURRENCY
from carillon.plan.rules import Rules
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.web.messages import Enter, Track, anonymous, event_name


@dataclass(frozen=True, slots=True)
class Refused:
    """One posted item that was not stored, by its place, and why."""

    index: int
    reason: str


class EventReader:
    """Reads tracked events as they are declared; made once for a set of declarations."""

    def __init__(self, data: Data, rules: Rules) -> None:
        self._shapes = {kind: EventShape(kind, fields, Reading(rules.timezone)) for kind, fields in data.events.items()}
        self._currency = currency_of((rules.currency, *rules.rates))
        self.money = {kind: shape.value_field for kind, shape in self._shapes.items()}
        """Kind → the property whose money is the event's value."""

    def read(self, message: Track, received_at: Micros) -> ArrivedEvent:
        """The event to store; raises ValueError for one that is undeclared, unreadable or lies ahead."""
        kind = message.event if message.event in self._shapes else event_name(message.event)
        shape = self._shapes.get(kind)
        if shape is None:
            raise ValueError(f"no event {message.event!r} is declared; {did_you_mean(kind, self._shapes)}")
        at = to_micros(message.at) if message.at else received_at
        if at > received_at + DAY:
            raise ValueError("its timestamp lies more than a day ahead")
        typed = shape.read(message.properties, ignore_undeclared=True)
        key = event_hash(kind, message.who, message.messageId, typed.props)
        return ArrivedEvent(at, key, kind, message.who, typed.value_cents, typed.props, self._currency_of(message))

    def _currency_of(self, message: Track) -> str | None:
        told = message.properties.get(CURRENCY)
        try:
            return None if is_blank(told) else self._currency(told)
        except ValueError as error:
            raise ValueError(f"{CURRENCY}: {error}") from None


def read_enter(store: Store, message: Enter, received_at: Micros) -> ArrivedEvent:
    """The event that asks for an entry; raises ValueError where campaign, entry or contact is not there."""
    with store.read() as connection:
        row = connection.execute(
            sa.select(t.campaign.c.id, t.version.c.plan_json)
            .join_from(t.campaign, t.version, t.version.c.id == t.campaign.c.live_version)
            .where(t.campaign.c.name == message.campaign)
        ).first()
        known = connection.scalar(sa.select(t.contact.c.id).where(t.contact.c.shop_id == message.userId))
    if row is None:
        raise ValueError(f"no campaign {message.campaign!r} was applied")
    if not any(entry.get("kind") == "api" for entry in json.loads(row.plan_json).get("entries", [])):
        raise ValueError(f"{message.campaign} has no entry {{api: true}}")
    if known is None:
        raise ValueError(f"no contact {message.userId!r} is known: identify it first")
    props = json_text({**message.properties, "campaign_id": row.id, "key": message.key})
    key = event_hash(ENTER_EVENT, message.userId, f"{row.id}\n{message.key}", props)
    return ArrivedEvent(received_at, key, ENTER_EVENT, message.userId, None, props)


def adopt_visits(store: Store, visits: Sequence[tuple[str, str]], received_at: Micros) -> int:
    """Give what anonymous visitors did to the contacts they turned out to be: (anonymous id, the shop's id)."""
    if not visits:
        return 0
    with store.read() as connection:
        ids = contact_ids(connection, {shop_id for _, shop_id in visits})
    return adopt_aliases(store, received_at, {anonymous(visitor): ids[who] for visitor, who in visits if who in ids})

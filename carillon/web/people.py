"""Contacts by the API: traits in Segment's spelling, read as data.yaml declares them and written by the people room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carillon.definition.model import Data
from carillon.feedback.adopt import adopt_orphans
from carillon.kernel.clock import Micros
from carillon.people.addresses import phone_key
from carillon.people.contacts import ContactRow, upsert_contacts
from carillon.people.fields import Reading, is_blank, reader_of, word
from carillon.plan.permissions import standing_rules
from carillon.plan.rules import Rules
from carillon.store.engine import Store
from carillon.web.messages import Identify

_SPELLED: Mapping[str, str] = {
    "firstName": "first_name",
    "lastName": "last_name",
    "createdAt": "created_at",
    "locale": "language",
}
"""Segment's reserved traits that we call otherwise."""
_OWN_COLUMNS = ("email", "country", "language", "timezone", "created_at")


def identify(store: Store, rules: Rules, data: Data, messages: Sequence[Identify], now: Micros) -> list[str]:
    """Make or change the contacts, and give them what waited for them; returns why not for each, empty where it was done."""
    rows, reasons = [], []
    read = _readers(data, rules)
    for message in messages:
        try:
            rows.append(_contact_row(message, read))
            reasons.append("")
        except ValueError as error:
            reasons.append(str(error))
    if rows:
        with store.write("core") as connection:
            upsert_contacts(
                connection, standing_rules(rules), rows, workspace_zone=rules.timezone, source="identify", at=now
            )
        adopt_orphans(store, now)
    return reasons


def _readers(data: Data, rules: Rules) -> dict[str, Callable[[Any], Any]]:
    how = Reading(rules.timezone)
    return {name: reader_of(field, how) for name, field in data.contact.items() if name not in ("id", "phone")}


def _contact_row(message: Identify, read: Mapping[str, Callable[[Any], Any]]) -> ContactRow:
    traits = {_SPELLED.get(name, name): value for name, value in _flat(message.traits).items() if not is_blank(value)}
    told: dict[str, Any] = {}
    for name, value in traits.items():
        if name in read:
            try:
                told[name] = read[name](value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    columns = {name: told.pop(name) for name in _OWN_COLUMNS if name in told}
    phone = phone_country = None
    if "phone" in traits:
        try:
            phone, phone_country = phone_key(word(traits["phone"]), columns.get("country"))
        except ValueError as error:
            raise ValueError(f"phone: {error}") from None
    return ContactRow(message.userId, phone=phone, phone_country=phone_country, attrs=told, **columns)


def _flat(traits: Mapping[str, Any]) -> dict[str, Any]:
    # Segment puts the country into the address.
    address = traits.get("address")
    country = address.get("country") if isinstance(address, dict) else None
    return {**({"country": country} if country else {}), **traits}

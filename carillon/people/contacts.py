"""Contacts in: made or changed by the shop's id, with a history row for each changed field, and folded at once.

What is not told stays as it is: a file that lacks a column, or a blank cell, erases nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.consent.notices import leave_notice
from carillon.consent.record import Said, newest, record_consents
from carillon.consent.standing import StandingRules, refold
from carillon.kernel.clock import Micros
from carillon.kernel.ids import h31
from carillon.kernel.time.resolve import ResolvedZone, country_of_phone, resolve_zone
from carillon.people.events import json_text
from carillon.people.rows import INVALID_EMAIL, INVALID_PHONE
from carillon.people.rows import ContactRow as ContactRow
from carillon.store import tables as t
from carillon.store.bulk import insert_rows, many, reserve_ids, update_rows
from carillon.store.writing import take_turn

CONTACTS_TURN = 0x63617275
"""PostgreSQL's advisory lock of whoever tells contacts anew: their changes get ids in the order of their commits."""
_STORED = ("email_key", "phone_key", "invalid_bits", "country", "language", "zone", "zone_source", "attrs")
_NEW = ("id", "shop_id", *_STORED, "h31", "created_at")
_CHANGE = ("contact_id", "at", "field", "old", "new", "source")


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """Contacts made, changed and told nothing new, and consent rows written."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    consents: int = 0

    def __add__(self, other: UpsertResult) -> UpsertResult:
        return UpsertResult(
            self.created + other.created,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.consents + other.consents,
        )


class _Known(NamedTuple):
    """A contact as stored, in the order of `_STORED` behind its id."""

    id: int
    email_key: str | None
    phone_key: str | None
    invalid_bits: int
    country: str | None
    language: str | None
    zone: str
    zone_source: str
    attrs: dict[str, Any]


def upsert_contacts(
    connection: Connection, rules: StandingRules, rows: Sequence[ContactRow], *,
    workspace_zone: str, source: str, at: Micros, history: bool = False,
) -> UpsertResult:  # fmt: skip
    """Make or change the contacts in one transaction on core; a row that comes twice is told twice, the later one rules.

    `history`: an import, by which nobody enters a campaign.
    """
    take_turn(connection, CONTACTS_TURN)  # two imports that meet a new id at once must not both make it
    told = _merge_repeated(rows)
    known = _known_contacts(connection, list(told))
    new = [row for shop_id, row in told.items() if shop_id not in known]
    ids = dict(zip((row.shop_id for row in new), reserve_ids(connection, t.contact, len(new)), strict=True))
    insert_rows(connection, t.contact, _NEW, (_new_row(ids[row.shop_id], row, workspace_zone, at) for row in new))

    if ids:
        leave_notice(connection, "contacts", min(ids.values()), max(ids.values()), history=history)

    updates: list[tuple[Any, ...]] = []
    changes: list[tuple[Any, ...]] = []
    for shop_id, before in known.items():
        after = _after(before, told[shop_id], workspace_zone)
        if after != before:
            updates.append((*after[:-1], json_text(after.attrs)))
            changes += ((before.id, at, *change, source) for change in _changes(before, after))
    update_rows(connection, t.contact, ("id",), _STORED, updates)
    insert_rows(connection, t.contact_change, _CHANGE, changes)

    ids |= {shop_id: before.id for shop_id, before in known.items()}
    consents = _record_wishes(connection, rules, told, ids, source, at, history)
    touched = [ids[row.shop_id] for row in new] + [row[0] for row in updates]
    if consents:
        touched += [ids[shop_id] for shop_id, row in told.items() if row.consents]
    refold(connection, rules, sorted(set(touched)))
    return UpsertResult(len(new), len(updates), len(known) - len(updates), consents)


def _merge_repeated(rows: Sequence[ContactRow]) -> dict[str, ContactRow]:
    told: dict[str, ContactRow] = {}
    for row in rows:
        earlier = told.get(row.shop_id)
        told[row.shop_id] = row if earlier is None else _merged(earlier, row)
    return told


def _merged(earlier: ContactRow, later: ContactRow) -> ContactRow:
    is_email_told, is_phone_told = _is_told(later)
    bits = later.invalid_bits
    bits |= 0 if is_email_told else earlier.invalid_bits & INVALID_EMAIL
    bits |= 0 if is_phone_told else earlier.invalid_bits & INVALID_PHONE
    return ContactRow(
        later.shop_id,
        later.email if is_email_told else earlier.email,
        later.phone if is_phone_told else earlier.phone,
        later.phone_country if is_phone_told else earlier.phone_country,
        bits,
        later.country or earlier.country,
        later.language or earlier.language,
        later.timezone or earlier.timezone,
        earlier.created_at if later.created_at is None else later.created_at,
        {**earlier.attrs, **later.attrs},
        earlier.consents + later.consents,
    )


def _is_told(row: ContactRow) -> tuple[bool, bool]:
    return (
        row.email is not None or bool(row.invalid_bits & INVALID_EMAIL),
        row.phone is not None or bool(row.invalid_bits & INVALID_PHONE),
    )


def _known_contacts(connection: Connection, shop_ids: list[str]) -> dict[str, _Known]:
    c = t.contact.c
    columns = [sa.type_coerce(c.attrs, sa.String) if name == "attrs" else c[name] for name in _STORED]
    rows = connection.execute(sa.select(c.shop_id, c.id, *columns).where(c.shop_id.in_(many(shop_ids, str))))
    return {
        row[0]: _Known._make((*row[1:-1], orjson.loads(row[-1]) if isinstance(row[-1], str) else row[-1]))
        for row in rows
    }


def _new_row(contact_id: int, row: ContactRow, workspace_zone: str, at: Micros) -> tuple[Any, ...]:
    zone = _zone(row.timezone, row.phone_country, row.country, workspace_zone)
    return (
        contact_id, row.shop_id, row.email, row.phone, row.invalid_bits, row.country, row.language, zone.zone,
        zone.source, json_text(row.attrs), h31(row.shop_id), at if row.created_at is None else row.created_at,
    )  # fmt: skip


@lru_cache(maxsize=4_096)
def _zone(own: str | None, phone_country: str | None, country: str | None, workspace: str) -> ResolvedZone:
    return resolve_zone(own=own, phone_country=phone_country, country=country, workspace=workspace)


def _after(before: _Known, row: ContactRow, workspace_zone: str) -> _Known:
    """The contact as it is once the row is believed."""
    is_email_told, is_phone_told = _is_told(row)
    bits = before.invalid_bits
    bits = (bits & ~INVALID_EMAIL if is_email_told else bits) | row.invalid_bits
    bits = bits & ~INVALID_PHONE | row.invalid_bits & INVALID_PHONE if is_phone_told else bits
    country = row.country or before.country
    phone = row.phone if is_phone_told else before.phone_key
    own = row.timezone or (before.zone if before.zone_source == "contact" else None)
    phone_country = row.phone_country if is_phone_told else (country_of_phone(phone) if phone and not own else None)
    zone = _zone(own, phone_country, country, workspace_zone)
    attrs = {**before.attrs, **row.attrs} if row.attrs else before.attrs
    email = row.email if is_email_told else before.email_key
    language = row.language or before.language
    return _Known(before.id, email, phone, bits, country, language, zone.zone, zone.source, attrs)


def _changes(before: _Known, after: _Known) -> list[tuple[str, str | None, str | None]]:
    """(field, old, new) of each field that the shop told anew; a zone that only follows is not one."""
    changes = [
        (name, old, new)
        for name, old, new in (
            ("email", before.email_key, after.email_key),
            ("phone", before.phone_key, after.phone_key),
            ("country", before.country, after.country),
            ("language", before.language, after.language),
            ("timezone", before.zone, after.zone),
        )
        if old != new
    ]
    for name, value in after.attrs.items():
        old_value = before.attrs.get(name)
        if old_value != value:
            changes.append((name, as_text(old_value), as_text(value)))
    return changes


def as_text(value: Any) -> str | None:
    """A value as the history of changes spells it."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _record_wishes(
    connection: Connection, rules: StandingRules, told: Mapping[str, ContactRow], ids: Mapping[str, int], source: str, at: Micros,
    history: bool,
) -> int:  # fmt: skip
    wishes = [(ids[shop_id], wish) for shop_id, row in told.items() for wish in row.consents]
    if not wishes:
        return 0
    standing = newest(connection, {contact for contact, _ in wishes})
    said = [
        Said(contact, wish.topic, wish.channel, wish.state, source, wish.evidence, at if wish.at is None else wish.at)
        for contact, wish in wishes
        if wish.at is not None or standing.get((contact, wish.topic, wish.channel)) != wish.state
    ]
    return record_consents(connection, rules, said, fold=False, history=history)

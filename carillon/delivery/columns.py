"""Columns for rendering: of each batch exactly what its message names, one row a batch, one text a column.

Values stay as they are spelt in JSON, so that nothing of them is lost, and the store cuts them out of the documents
while this process renders: most are never read here, because a text that was seen before is rendered already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.channels import Channel
from carillon.kernel.clock import from_micros
from carillon.messages.columns import JsonColumn
from carillon.policy.decide import address_of
from carillon.store import localtime
from carillon.store.json import json_at, json_of
from carillon.store.packed import in_order, packed, unpacked, unpacked_texts
from carillon.store.stretch import by_stretch, in_stretch
from carillon.store.tables import batch, contact, coupon, enrolment, event, send, standing

_ANSWER = event.alias("answer_event")

BUILT_IN: Mapping[str, sa.ColumnElement[Any]] = {
    "id": contact.c.shop_id,
    "email": contact.c.email_key,
    "phone": contact.c.phone_key,
    "country": contact.c.country,
    "language": contact.c.language,
    "timezone": contact.c.zone,
    "created_at": contact.c.created_at,
}
"""`contact.…` → its column; every other field stands in `contact.attrs`."""

_DOCUMENTS: Mapping[str, sa.ColumnElement[Any]] = {
    "contact": contact.c.attrs,
    "trigger": event.c.props,
    "answer": _ANSWER.c.props,
}


@dataclass(frozen=True, slots=True)
class Columns:
    """The open people of one batch in ascending order of enrolment; all sequences are of the same length."""

    enrolments: Sequence[int]
    addresses: Sequence[str | None]
    values: Mapping[str, Sequence[Any]]
    """Path (`contact.first_name`, `trigger.products`) → each person's value, None where there is none."""


def fetch_columns(
    connection: Connection, channel: Channel, batch_ids: Sequence[int], paths: Iterable[str]
) -> dict[int, Columns]:
    """The columns of these batches, which share a channel and the paths that their message names."""
    wanted = sorted(set(paths))
    rows = by_stretch(connection, batch_ids, partial(_select, channel, tuple(wanted)))
    return {batch_id: _columns(wanted, *columns) for batch_id, *columns in rows}


@lru_cache(maxsize=256)
def _select(channel: Channel, paths: Sequence[str], is_near: bool) -> sa.Select[Any]:
    roots = {path.partition(".")[0] for path in paths}
    person = contact.c.id == send.c.contact_id
    people = send.join(contact, sa.and_(person, in_stretch(contact.c.id, "contact")) if is_near else person)
    if roots & {"trigger", "answer"}:
        people = people.join(enrolment, enrolment.c.id == send.c.enrolment_id)
    if "trigger" in roots:
        newest = sa.and_(event.c.occurred_at == enrolment.c.trigger_at, event.c.hash64 == enrolment.c.trigger_hash)
        people = people.outerjoin(event, newest)
    if "answer" in roots:
        ended = sa.and_(_ANSWER.c.occurred_at == enrolment.c.answer_at, _ANSWER.c.hash64 == enrolment.c.answer_hash)
        people = people.outerjoin(_ANSWER, ended)
    if "coupon" in roots:
        held = sa.and_(coupon.c.pool == batch.c.coupon, coupon.c.enrolment_id == send.c.enrolment_id)
        people = people.join(batch, batch.c.id == send.c.batch_id).outerjoin(coupon, held)
        people = people.outerjoin(standing, standing.c.contact_id == send.c.contact_id)
    asked = [send.c.enrolment_id, json_of(address_of(channel)), *(_json_of_path(path) for path in paths)]
    return (
        sa.select(send.c.batch_id, *(packed(column, send.c.enrolment_id) for column in asked))
        .select_from(people)
        .where(send.c.batch_id.in_(sa.bindparam("ids", expanding=True)), send.c.outcome.is_(None))
        .group_by(send.c.batch_id)
    )


def _json_of_path(path: str) -> sa.ColumnElement[str]:
    root, *names = path.split(".")
    if root == "contact" and len(names) == 1 and names[0] in BUILT_IN:
        return json_of(BUILT_IN[names[0]])
    if root == "coupon" and names == ["code"]:
        return json_of(coupon.c.code)
    if root == "coupon" and names == ["valid_until"]:
        return json_of(localtime.utc_to_local(standing.c.zone, coupon.c.valid_until))
    return json_at(_DOCUMENTS[root], tuple(names)) if root in _DOCUMENTS else sa.literal("null")


def _columns(paths: Sequence[str], enrolments: str, addresses: str, *values: str) -> Columns:
    numbers, texts = list(map(int, unpacked(enrolments))), unpacked_texts(addresses)
    columns = {path: JsonColumn(unpacked(text), _READ.get(path, orjson.loads)) for path, text in zip(paths, values, strict=True)}  # fmt: skip
    if (order := in_order(numbers)) is not None:
        numbers, texts = [numbers[at] for at in order], [texts[at] for at in order]
        columns = {path: column.picked(order) for path, column in columns.items()}
    return Columns(numbers, texts, columns)


def _clock(text: str) -> datetime | None:
    return None if text == "null" else from_micros(int(text)).replace(tzinfo=None)


_READ: Mapping[str, Callable[[str], Any]] = {
    "contact.created_at": lambda text: from_micros(int(text)),
    "coupon.valid_until": _clock,
}
"""Paths whose values are no JSON as a message reads them; the end of a coupon is told on the contact's clock."""

"""Columns for rendering: of each batch exactly what its message names, one query for several batches.

Values come out as they were given: JSON is read whole, once a person, because asking a store for single fields of it
costs a parse each, and loses what is true, false and a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.plain_rows import plain_rows
from carillon.kernel.channels import Channel
from carillon.kernel.clock import from_micros
from carillon.policy.decide import address_of
from carillon.store.tables import contact, enrolment, event, send

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
    columns = [name for path in wanted if (name := _built_in(path))]
    documents = [root for root in _DOCUMENTS if any(_in_document(path) == root for path in wanted)]
    found = plain_rows(connection, _select(channel, batch_ids, columns, documents))
    return {
        batch_id: _columns(list(rows), wanted, columns, documents) for batch_id, rows in groupby(found, itemgetter(0))
    }


def _built_in(path: str) -> str | None:
    root, _, name = path.partition(".")
    return name if root == "contact" and name in BUILT_IN else None


def _in_document(path: str) -> str | None:
    root = path.partition(".")[0]
    return None if _built_in(path) or root not in _DOCUMENTS else root


def _select(
    channel: Channel, batch_ids: Sequence[int], columns: Sequence[str], documents: Sequence[str]
) -> sa.Select[Any]:
    people = send.join(contact, contact.c.id == send.c.contact_id)
    if "trigger" in documents or "answer" in documents:
        people = people.join(enrolment, enrolment.c.id == send.c.enrolment_id)
    if "trigger" in documents:
        newest = sa.and_(event.c.occurred_at == enrolment.c.trigger_at, event.c.hash64 == enrolment.c.trigger_hash)
        people = people.outerjoin(event, newest)
    if "answer" in documents:
        ended = sa.and_(_ANSWER.c.occurred_at == enrolment.c.answer_at, _ANSWER.c.hash64 == enrolment.c.answer_hash)
        people = people.outerjoin(_ANSWER, ended)
    asked = [BUILT_IN[name] for name in columns] + [sa.cast(_DOCUMENTS[root], sa.Text) for root in documents]
    return (
        sa.select(send.c.batch_id, send.c.enrolment_id, address_of(channel), *asked)
        .select_from(people)
        .where(send.c.batch_id.in_(batch_ids), send.c.outcome.is_(None))
    )


def _columns(
    rows: Sequence[Sequence[Any]], paths: Sequence[str], columns: Sequence[str], documents: Sequence[str]
) -> Columns:
    _, enrolments, addresses, *rest = zip(*rows, strict=True)
    built_in = dict(zip(columns, rest, strict=False))
    read = {root: _documents(texts) for root, texts in zip(documents, rest[len(columns) :], strict=True)}
    gather = partial(_gather, built_in=built_in, documents=read, size=len(rows))
    return Columns(enrolments, addresses, {path: gather(path) for path in paths})


def _gather(
    path: str, *, built_in: Mapping[str, Sequence[Any]], documents: Mapping[str, Sequence[Any]], size: int
) -> Sequence[Any]:
    if (name := _built_in(path)) is not None:
        column = built_in[name]
        return [from_micros(us) for us in column] if name == "created_at" else column
    root, _, inner = path.partition(".")
    if root not in documents:
        return [None] * size
    if not inner:
        return documents[root]
    if "." not in inner:
        return [document.get(inner) for document in documents[root]]
    return [_pick(document, inner.split(".")) for document in documents[root]]


def _documents(texts: Sequence[str | None]) -> list[dict[str, Any]]:
    found = [orjson.loads(text) if text else {} for text in texts]
    return found if set(map(type, found)) == {dict} else [d if isinstance(d, dict) else {} for d in found]


def _pick(document: Any, names: Sequence[str]) -> Any:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document

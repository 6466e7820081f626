"""data.yaml → the declared fields and events, beside those that are built in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from carillon.definition.conditions import FieldType
from carillon.definition.model import Data, Field
from carillon.definition.nodes import Map, Node, Seq, Text
from carillon.definition.scalars import Reading
from carillon.definition.words import read
from carillon.definition.workspace_words import DataWords, FieldWords
from carillon.kernel.problems import did_you_mean


def _fields(**types: FieldType) -> dict[str, Field]:
    return {name: Field(name, type_) for name, type_ in types.items()}


BUILT_IN_CONTACT: Mapping[str, Field] = _fields(
    id="word", email="email", phone="phone", first_name="word", last_name="word", language="language",
    country="country", timezone="word", created_at="instant",
)  # fmt: skip

BUILT_IN_EVENTS: Mapping[str, Mapping[str, Field]] = {
    "contact.created": {},
    "contact.signed_up": _fields(topic="word", channel="word"),
    "contact.subscribed": _fields(topic="word", channel="word"),
    "contact.unsubscribed": _fields(topic="word", channel="word"),
    "survey.answered": _fields(survey="word", score="number", answer="word"),
    "points.earned": _fields(points="number", reason="word"),
    "points.redeemed": _fields(points="number"),
    "points.expiring": _fields(points="number"),
    "tier.changed": {"from": Field("from", "word"), "to": Field("to", "word")},
    "referral.completed": _fields(friend="word"),
    "product.price_dropped": _fields(product_id="word", price="money", drop="number", stock="number"),
    "product.back_in_stock": _fields(product_id="word", price="money", stock="number"),
}

_SIMPLE: dict[str, FieldType] = {type_: type_ for type_ in get_args(FieldType) if type_ != "one_of"}


def build_data(words: DataWords | None, reading: Reading) -> Data:
    """All fields and events that the workspace may name."""
    contact, events = dict(BUILT_IN_CONTACT), dict(BUILT_IN_EVENTS)
    for name, raw in (words.contact or {}).items() if words is not None else ():
        if name in BUILT_IN_CONTACT:
            reading.note(name.at, 5, f'the field "{name}" is built in', suggestion="leave it out")
        contact[str(name)] = _field(name, raw, reading)
    for event, fields in (words.events or {}).items() if words is not None else ():
        if event in BUILT_IN_EVENTS:
            reading.note(event.at, 5, f'the event "{event}" is built in', suggestion="leave it out")
        events[str(event)] = {str(name): _field(name, raw, reading) for name, raw in fields.items()}
    return Data(contact, events)


def _field(name: Text, raw: Any, reading: Reading) -> Field:
    match raw:
        case Text() if raw in _SIMPLE:
            return Field(str(name), _SIMPLE[raw])
        case Seq() if len(raw) == 1 and isinstance(raw[0], Map):
            return Field(str(name), "list", things=_things(raw[0], reading))
        case Map():
            return _described(name, raw, reading)
        case _:
            _no_type(name, raw, reading)
            return Field(str(name), "word")


def _no_type(name: Text, raw: Node, reading: Reading) -> None:
    at, hint = raw.at, ""
    message = f'"{name}" has no type'
    if isinstance(raw, Text) and not raw.absent:
        message, hint = f'no type "{raw}"', did_you_mean(raw, _SIMPLE)
    reading.note(at, 3, message, "word, number, money, flag, date, instant …, {one_of: […]} or [{…}]", hint)


def _things(one: Map, reading: Reading) -> dict[str, Field]:
    return {str(name): _field(name, raw, reading) for name, raw in one.items()}


def _described(name: Text, raw: Map, reading: Reading) -> Field:
    words, _ = read(FieldWords, raw, reading)
    if words is None:
        return Field(str(name), "word")
    by_campaigns = words.set_by is not None
    if words.one_of is not None:
        return Field(str(name), "one_of", tuple(map(str, words.one_of)), set_by_campaigns=by_campaigns)
    if words.type is None:
        reading.missing(raw.at, f'"{name}" has neither a type nor one_of', "{one_of: […]} or {type: number, …}")
    return Field(str(name), words.type or "word", set_by_campaigns=by_campaigns)

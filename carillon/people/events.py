"""One kind of event as data.yaml declares it: from raw properties to what the store keeps."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from carillon.definition.model import Field
from carillon.kernel.problems import did_you_mean
from carillon.people.fields import Reading, is_blank, reader_of


class TypedEvent(NamedTuple):
    """An event as declared: `props` is JSON text with its names in order, `value_cents` its money."""

    props: str
    value_cents: int | None


class EventShape:
    """Reads events of one kind; made once, used for many."""

    def __init__(self, kind: str, fields: Mapping[str, Field], how: Reading) -> None:
        self.kind = kind
        self.value_field = value_field(fields)
        self.readers = {name: reader_of(fields[name], how) for name in sorted(fields)}

    def read(self, raw: Mapping[str, Any], *, ignore_undeclared: bool = False) -> TypedEvent:
        """The event of raw properties; raises ValueError, naming the property, for what is undeclared or unreadable."""
        if not ignore_undeclared and (strange := next((name for name in raw if name not in self.readers), None)):
            raise ValueError(f"{self.kind} has no property {strange!r}; {did_you_mean(strange, self.readers)}")
        props: dict[str, Any] = {}
        for name, read in self.readers.items():
            value = raw.get(name)
            if not is_blank(value):
                try:
                    props[name] = read(value)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        return TypedEvent(json_text(props), props.get(self.value_field) if self.value_field else None)


def value_field(fields: Mapping[str, Field]) -> str | None:
    """The property whose money is the event's value: `total` if it is money, else the only property that is."""
    money = [name for name, field in fields.items() if field.type == "money"]
    if "total" in money:
        return "total"
    return money[0] if len(money) == 1 else None


def json_text(props: Mapping[str, Any]) -> str:
    """JSON as both stores keep it; raises ValueError for what PostgreSQL cannot (NUL, numbers beyond 64 bits)."""
    try:
        text = orjson.dumps(props).decode()
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not to be stored: {error}") from None
    if "\\u0000" in text:
        raise ValueError("a character NUL stands in it")
    return text


def json_texts(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """`json_text` of many; raises ValueError where one of them is not to be stored."""
    try:
        texts = [orjson.dumps(props).decode() for props in documents]
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not to be stored: {error}") from None
    if "\\u0000" in "".join(texts):
        raise ValueError("a character NUL stands in one")
    return texts


def json_rows(told: Mapping[str, Sequence[Any]]) -> list[str] | None:
    """`json_text` of each row of whole columns; None where one holds more than plain texts, or than whole numbers."""
    places = []
    for name, column in told.items():
        kinds = set(map(type, column))
        if kinds == {str} and _is_plain(column):
            place = '"%s"'
        elif kinds == {int} and min(column) >= -(2**63) and max(column) < 2**63:
            place = "%d"
        else:
            return None
        places.append(f"{json_text({name: 0})[1:-2]}".replace("%", "%%") + place)
    return list(map(f"{{{','.join(places)}}}".__mod__, zip(*told.values(), strict=True)))


def _is_plain(texts: Sequence[str]) -> bool:
    """Does each stand in JSON as it is?"""
    try:
        return b"\\" not in orjson.dumps(texts)
    except orjson.JSONEncodeError:  # half a surrogate pair
        return False


def event_hash(kind: str, shop_id: str, source_id: str | None, props: str) -> int:
    """What tells two events of one instant apart: the source's own id, else the content; version 1, in 64 bits."""
    content = f"{kind}\0{shop_id}\0{props}" if source_id is None else f"{kind}\0\0{source_id}"
    return _hashes((content,))[0]


def event_hashes(
    kind: str, shop_ids: Sequence[str], source_ids: Sequence[str | None], props: Sequence[str]
) -> list[int]:
    """`event_hash` of whole columns."""
    return _hashes(
        f"{kind}\0{shop_id}\0{text}" if source_id is None else f"{kind}\0\0{source_id}"
        for shop_id, source_id, text in zip(shop_ids, source_ids, props, strict=True)
    )


def _hashes(contents: Iterable[str]) -> list[int]:
    digests = []
    for content in contents:
        digest = _HASH.copy()  # half the time of making it with its parameters
        digest.update(content.encode("utf-8", "surrogatepass"))
        digests.append(digest.digest())
    return list(struct.unpack(f">{len(digests)}q", b"".join(digests)))


_HASH = blake2b(digest_size=8, person=b"carillon-evt-v1")

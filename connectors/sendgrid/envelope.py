"""A request in the making: a text a person, joined into a body when it is known who of them goes.

A dict a person and its encoding cost 3 µs. Here a person is one join of what is the same for all and of texts that are
spelt for JSON already: those of a message come so, once for each distinct text; ids and addresses are spelt a column at a
time. All texts have one character a byte, so that the whole of them becomes bytes by a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import orjson

from carillon.delivery.protocol import People
from carillon.kernel.spelling import json_read, json_spelt

MAX_SUBSTITUTION_BYTES = 10_000

_GAP = "\x7f"
"""Stands between texts while they are encoded together: nobody writes a DEL, and JSON leaves it as it is."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A batch ready to go: the personalization of each person, and the rest of the body, which all share."""

    people: Sequence[str]
    shared: bytes

    def __len__(self) -> int:
        return len(self.people)

    def body(self, rows: Sequence[int]) -> bytes:
        """The request's body for these rows."""
        people = self.people if len(rows) == len(self) else [self.people[row] for row in rows]
        return b"".join([b'{"personalizations":[', ",".join(people).encode("latin-1"), b"],", self.shared])


def envelope(people: People, shared: Mapping[str, object]) -> Envelope:
    """The people one by one and the shared rest; raises ValueError for more values than SendGrid takes."""
    # No name beside the address: SendGrid refuses "," and ";" in it, and mail clients show the address book's anyway.
    person: dict[str, object] = {"to": [{"email": _GAP}], "custom_args": {"cid": _GAP}}
    if people.values:
        person["substitutions"] = dict.fromkeys(people.values, _GAP)
    if people.headers:
        person["headers"] = dict.fromkeys(people.headers, _GAP)
    values = people.values.values() if people.spelling == "json" else map(json_texts, people.values.values())
    columns = [
        json_texts(people.addresses), json_texts(people.cids), *values, *map(json_texts, people.headers.values())
    ]  # fmt: skip
    first, *others = orjson.dumps(person).decode("latin-1").split(_GAP)
    woven = [repeat(first)]
    for column, fixed in zip(columns, others, strict=True):
        woven += (column, repeat(fixed))
    made = list(map("".join, zip(*woven, strict=False)))
    if max(map(len, made), default=0) > MAX_SUBSTITUTION_BYTES:
        _refuse_oversize(people)
    return Envelope(made, orjson.dumps(shared)[1:])


def json_texts(column: Sequence[str]) -> Sequence[str]:
    """Each text as it stands between the quotes of a JSON string, one character for each of its bytes."""
    together = _GAP.join(column)
    spelt = orjson.dumps(together)[1:-1].decode("latin-1").split(_GAP)
    return spelt if len(spelt) == len(column) else list(map(json_spelt, column))


def _refuse_oversize(people: People) -> None:
    tags = sum(len(tag.encode()) for tag in people.values)
    for row, values in enumerate(zip(*people.values.values(), strict=True)):
        size = tags + sum(len((json_read(text) if people.spelling == "json" else text).encode()) for text in values)
        if size > MAX_SUBSTITUTION_BYTES:
            raise ValueError(f"{size} bytes of values for one person (row {row}); SendGrid takes 10,000")

"""data.yaml, guessed from a file or from what has been imported: cautious, with the reason beside each guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from carillon.people.fields import is_blank
from carillon.people.files import open_rows
from carillon.people.mapping import Source
from carillon.people.shapes import BUILT_IN
from carillon.store import tables as t
from carillon.store.engine import Store

LOOKED_AT = 5_000
"""Values a guess is made from."""
_FEW_WORDS, _OFTEN = 8, 20

_MONEY_NAME = re.compile(r"(^|_)(total|price|amount|revenue|value|sum|cost|betrag|preis|umsatz)(_|$)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?")
_EVENT_WORDS = frozenset({"contact", "event", "at", "id", "customer_id", "timestamp", "occurred_at"})


def suggest_from_file(path: Path, event: str | None) -> str:
    """data.yaml for the columns of a file."""
    file = open_rows(path, Source())
    chunk = next(file.chunks(LOOKED_AT), None)
    columns = {_name(name): values for name, values in chunk.columns.items()} if chunk else {}
    if event is not None:
        return _rendered({}, {event: {n: v for n, v in columns.items() if n not in _EVENT_WORDS}}, path.name)
    return _rendered({n: v for n, v in columns.items() if n not in BUILT_IN}, {}, path.name)


def suggest_from_store(store: Store) -> str:
    """data.yaml for what contacts and events hold; money stands there as cents, so whole numbers may be money."""
    e, c = t.event.c, t.contact.c
    events: dict[str, dict[str, list[Any]]] = {}
    with store.read() as connection:
        contacts = _columns(connection.execute(sa.select(c.attrs).limit(LOOKED_AT)).scalars())
        kinds = (
            connection.execute(sa.select(t.contact_stat.c.kind).distinct()).scalars().all()
            or connection.execute(sa.select(e.kind).distinct()).scalars()
        )
        for kind in kinds:
            if not kind.startswith("message."):
                props = connection.execute(sa.select(e.props).where(e.kind == kind).limit(LOOKED_AT)).scalars()
                events[kind] = _columns(props)
    return _rendered({n: v for n, v in contacts.items() if n not in BUILT_IN}, events, "the store")


def _columns(documents: Iterable[Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for document in documents:
        for name, value in (orjson.loads(document) if isinstance(document, str) else document).items():
            columns.setdefault(name, []).append(value)
    return columns


def _rendered(contacts: Mapping[str, list[Any]], events: Mapping[str, Mapping[str, list[Any]]], whence: str) -> str:
    lines = [
        f"# Guessed from {whence}: read every line, then delete the remarks. A type that is too wide is safe: word."
    ]
    lines.append("contact:" if contacts else "contact: {}")
    lines += [f"  {name}: {_guess(name, values)}" for name, values in contacts.items()]
    lines.append("events:" if events else "events: {}")
    for kind, props in events.items():
        lines.append(f"  {kind}:" if props else f"  {kind}: {{}}")
        lines += [f"    {name}: {_guess(name, values)}" for name, values in props.items()]
    return "\n".join(lines) + "\n"


def _guess(name: str, values: list[Any]) -> str:
    """The narrowest type that all values have, and a remark where it is a guess."""
    seen = [value for value in values if not is_blank(value)]
    if not seen:
        return "word      # always empty so far"
    if isinstance(seen[0], list):
        lines = [line for value in seen if isinstance(value, list) for line in value]
        if lines and all(isinstance(line, dict) for line in lines):
            inside = ", ".join(f"{n}: {_guess(n, v).partition(' #')[0].strip()}" for n, v in _columns(lines).items())
            return f"[{{{inside}}}]"
        return "list"
    texts = [str(value) for value in seen]
    for type_, holds in _TYPES:
        if all(holds(text) for text in texts):
            return _remarked(name, type_, texts)
    words = sorted(set(texts))
    if (
        len(words) <= _FEW_WORDS
        and len(texts) >= _OFTEN * len(words)
        and all(re.fullmatch(r"[\w-]+", w) for w in words)
    ):
        return f"{{one_of: [{', '.join(words)}]}}      # or word: other words will be refused"
    return "word"


_TYPES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("flag", lambda text: text.lower() in ("true", "false", "yes", "no")),
    ("instant", lambda text: _INSTANT.match(text) is not None),
    ("date", lambda text: _DAY.fullmatch(text) is not None),
    ("number", lambda text: _NUMBER.fullmatch(text) is not None),
)


def _remarked(name: str, type_: str, texts: list[str]) -> str:
    if type_ != "number":
        return type_
    if any(len(text) > 1 and text.lstrip("-")[0] == "0" and "." not in text for text in texts):
        return "word      # digits with a leading zero: a number would lose it"
    if name.endswith(("_id", "id", "code", "zip", "postcode")):
        return "word      # digits, but by its name nothing to calculate with"
    if _MONEY_NAME.search(name) and all(len(text.partition(".")[2]) <= 2 or text.endswith(".0") for text in texts):
        return "money      # by its name; number if it is none"
    return "number"


def _name(column: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", column.strip().lower()).strip("_") or "column"

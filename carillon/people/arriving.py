"""The events of one commit in a temporary table, in the order of their key: `people.ingest` writes them from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import chain, compress
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from carillon.people.packing import Columnwise, parts_of
from carillon.people.rows import ArrivedEvent
from carillon.people.who import remembered_ids
from carillon.store.staging import fill, stage, weigh

_AT, _HASH, _KIND, _SHOP_ID, _VALUE, _PROPS, _CURRENCY = range(len(ArrivedEvent._fields))
_COLUMNS = """occurred_at BIGINT, hash64 BIGINT, kind TEXT, contact_id BIGINT, shop_id TEXT, value_cents BIGINT,
              props JSONB, currency TEXT"""


class Staged(NamedTuple):
    """What need not be asked of the staged rows."""

    kind: str | None
    """The one kind that all are of; None where each row says it."""
    is_known: bool
    """Everybody who is known was found."""
    with_money: Set[str]
    """Kinds of which an event has money."""


def stage_events(connection: Connection, events: Sequence[ArrivedEvent]) -> Staged:
    """The events in `arriving`; what is the same of all of them, or nothing, is not staged."""
    parts = parts_of(events)
    ids = remembered_ids(connection, len(events), (part.column(_SHOP_ID) for part in parts))
    kinds = {kind for part in parts for kind in part.values(_KIND)}
    told = {"occurred_at": _AT, "hash64": _HASH, "value_cents": _VALUE, "props": _PROPS}
    if len(kinds) > 1:
        told["kind"] = _KIND
    if any(part.values(_CURRENCY) != {None} for part in parts):
        told["currency"] = _CURRENCY
    if ids is None:
        told["shop_id"] = _SHOP_ID
    rows = chain.from_iterable(_rows(parts, tuple(told.values()), ids))
    who = () if ids is None else ("contact_id", "shop_id") if _has_strangers(ids) else ("contact_id",)
    stage(connection, "arriving", _COLUMNS)
    # In the order of the key: fifteen times faster.
    fill(connection, "arriving", (*told, *who), rows if _are_in_order(parts) else sorted(rows, key=itemgetter(_AT)))
    weigh(connection, "arriving")
    return Staged(kinds.pop() if len(kinds) == 1 else None, ids is not None, _with_money(parts))


def _rows(
    parts: Sequence[Columnwise], told: Sequence[int], ids: Sequence[Sequence[int | None]] | None
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """Part by part: what is unpacked of one is forgotten before the next."""
    has_strangers = ids is not None and _has_strangers(ids)
    for k, part in enumerate(parts):
        columns = [part.column(number) for number in told]
        if ids is not None:
            columns.append(ids[k])
        if ids is not None and has_strangers:
            who = zip(part.column(_SHOP_ID), ids[k], strict=True)
            columns.append([shop_id if found is None else None for shop_id, found in who])
        yield zip(*columns, strict=True)


def _has_strangers(ids: Sequence[Sequence[int | None]]) -> bool:
    return any(None in found for found in ids)


def _are_in_order(parts: Sequence[Columnwise]) -> bool:
    newest = None
    for part in parts:
        at = part.column(_AT)
        if (newest is not None and at[0] < newest) or list(at) != sorted(at):
            return False
        newest = at[-1]
    return True


def _with_money(parts: Sequence[Columnwise]) -> Set[str]:
    found: set[str] = set()
    for part in parts:
        kinds, values = part.column(_KIND), part.column(_VALUE)
        found.update(compress(kinds, (value is not None for value in values)) if None in values else part.values(_KIND))
    return found

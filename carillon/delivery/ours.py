"""Letters to one of ours: the mailboxes of `notify`, and the bodies of a webhook's calls.

A mail to one of ours bears no id that a report could be read by: whoever bounces, opens or clicks is not the contact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from carillon.delivery.columns import Columns
from carillon.delivery.parcels import Letter
from carillon.delivery.protocol import BODY, People, Sender, SharedCall
from carillon.kernel.tokens import Keyring, TokenKind
from carillon.messages.columns import with_amounts
from carillon.messages.content import Content


def mailboxes(content: Content, columns: Columns) -> list[str | None]:
    """Whom the mail about each person goes to; None where nobody is named any more."""
    own: Sequence[Any] = columns.values[content.to_path] if content.to_path else ()
    named = [str(one).strip() if one else "" for one in own] or [""] * len(columns.enrolments)
    return [found if "@" in (found := one or content.to) else None for one in named]


def unread(cids: Sequence[str]) -> list[str]:
    """The ids as no report is read by them: one of another length is nobody's."""
    return [f"note-{cid}" for cid in cids]


def calls(
    campaign: str, step: str, sender: Sender, content: Content, columns: Columns, keyring: Keyring, node_id: int
) -> Letter:
    """A call for each person: the key is the send's own, the same whenever it is posted."""
    cids = keyring.make_all((TokenKind.MESSAGE,), node_id, columns.enrolments)[TokenKind.MESSAGE]
    told = with_amounts(columns.values, content.money_paths)
    bodies = [
        orjson.dumps(
            {"campaign": campaign, "step": step, "key": cid, "contact": _part(told, "contact", row),
             "trigger": _present(_part(told, "trigger", row))},
            default=_spelt,
        ).decode()
        for row, cid in enumerate(cids)
    ]  # fmt: skip
    people = People([""] * len(cids), cids, {BODY: bodies})
    return Letter(SharedCall(sender), people, list(columns.enrolments), {})


def _part(told: Mapping[str, Sequence[Any]], root: str, row: int) -> dict[str, Any]:
    return {path.partition(".")[2]: column[row] for path, column in told.items() if path.startswith(f"{root}.")}


def _present(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value is not None}


def _spelt(value: object) -> str:
    if isinstance(value, Decimal):  # money, exactly: JSON's numbers are binary to most who read them
        return format(value, "f")
    raise TypeError(f"no JSON for a {type(value).__name__}")

"""The consent ledger: what people said, when, where and how we know. Rows are added, never changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.consent.notices import leave_notice
from carillon.consent.permissions import assign_bits
from carillon.consent.standing import StandingRules, refold
from carillon.definition.model import Workspace
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from carillon.store import tables as t
from carillon.store.bulk import insert_rows, many, staged_rows
from carillon.store.writing import take_turn

State = Literal["yes", "confirmed", "no"]


class Said(NamedTuple):
    """One word of one contact about one topic on one channel."""

    contact_id: int
    topic: str
    channel: str
    state: State
    source: str
    """Where it was said: import, preferences page, sms, api, operator."""
    evidence: str
    """How we know: the form, the file and its row, the provider's event."""
    at: Micros


_LOCK = 0x6361_7273
"""PostgreSQL's advisory lock of those who add consents: the ids of one transaction lie together."""


def record_consents(
    connection: Connection, rules: StandingRules, said: Sequence[Said], *, fold: bool = True, history: bool = False
) -> int:
    """Append what is not known yet and fold the contacts; returns how many rows were new.

    They are told as events in time; `history` says that they are an import of the past, by which nobody enters.

    The same word at the same instant is the same row, so that a repeated import or webhook adds nothing. With `fold` off
    the caller folds these contacts itself, in this transaction.
    """
    if not said:
        return 0
    assign_bits(connection, {(row.topic, row.channel) for row in said})
    with staged_rows(connection, t.consent, Said._fields, dict.fromkeys(said)) as staged:
        known = sa.exists().where(
            *(t.consent.c[name] == staged.c[name] for name in ("contact_id", "topic", "channel", "state", "at"))
        )
        new = connection.execute(sa.select(staged).where(~known)).all()
    if new:
        take_turn(connection, _LOCK)
        newest_id = sa.select(sa.func.coalesce(sa.func.max(t.consent.c.id), 0))
        before = connection.scalar(newest_id) or 0
        insert_rows(connection, t.consent, Said._fields, [tuple(row) for row in new])
        leave_notice(connection, "consents", before + 1, connection.scalar(newest_id) or 0, history=history)
    if fold:
        refold(connection, rules, {row.contact_id for row in new})
    return len(new)


def withdraw(
    connection: Connection, workspace: Workspace, rules: StandingRules, contact_ids: Iterable[int], *,
    topic: str | None = None, channel: Channel | None = None, source: str, evidence: str, at: Micros,
) -> int:  # fmt: skip
    """Record a no of these contacts; returns how many rows were new.

    Without a topic it is said of every topic of the workspace, transactional ones too where a channel is named (STOP on
    SMS); without a channel, of every channel that the topic may be sent on.
    """
    pairs = _pairs(workspace, topic, channel)
    rows = [Said(one, name, on, "no", source, evidence, at) for one in contact_ids for name, on in pairs]
    return record_consents(connection, rules, rows)


def _pairs(workspace: Workspace, topic: str | None, channel: Channel | None) -> list[tuple[str, str]]:
    topics = [workspace.topics[topic]] if topic else list(workspace.topics.values())
    pairs = []
    for one in topics:
        if channel is not None:
            pairs.append((one.name, channel.value))
        elif one.kind == "marketing" or topic:
            pairs += [(one.name, on.value) for on in one.consent or (Channel.EMAIL, Channel.SMS)]
    return pairs


def is_confirmed(states: Sequence[str]) -> bool:
    """Whether the second yes stands, of everything said about a pair that needs two, oldest first."""
    return next((state for state in reversed(states) if state != "yes"), None) == "confirmed"


def is_pending(states: Sequence[str]) -> bool:
    """Whether the first yes waits for the second."""
    return list(states[-1:]) == ["yes"] and not is_confirmed(states)


def history(connection: Connection, contact_id: int) -> list[Said]:
    """Everything that a contact said, oldest first."""
    rows = connection.execute(
        sa.select(*(t.consent.c[name] for name in Said._fields))
        .where(t.consent.c.contact_id == contact_id)
        .order_by(t.consent.c.at, t.consent.c.id)
    )
    return [Said(*row) for row in rows]


def newest(connection: Connection, contact_ids: Iterable[int]) -> dict[tuple[int, str, str], str]:
    """(contact, topic, channel) → the state that rules."""
    c = t.consent.c
    rows = connection.execute(
        sa.select(c.contact_id, c.topic, c.channel, c.state)
        .where(c.contact_id.in_(many(contact_ids)))
        .order_by(c.at, c.id)
    )
    return {(contact, topic, channel): state for contact, topic, channel, state in rows}

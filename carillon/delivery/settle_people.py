"""Settle person by person: SMS and SMTP, whose hand-over is a row of windows, each committed before it begins.

Accepted people keep a receipt and stay; the refused get their outcome; who must be tried again and who is unsure move
into children, so that at the end those who stay are the accepted ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.backoff import retry_after
from carillon.delivery.holds import hold
from carillon.delivery.model import LEASE, Settled
from carillon.delivery.parting import among, open_people, part
from carillon.delivery.protocol import Accepted, Deferred, Divide, Held, Outcome, Rejected, Unsure
from carillon.delivery.settling import LOST, Settling, end_attempt, reject, win
from carillon.store.tables import batch, receipt, send


def settle_people(connection: Connection, wish: Settling) -> Settled:
    """Write the outcomes of a window; then either begin the next window, durably, or close the batch."""
    window = wish.settlement.window
    lease = {"lease_until": wish.machine_now + LEASE}
    if not win(connection, wish.claimed, lease | ({} if window is None else {"begun_through": window})):
        return LOST
    _write_outcomes(connection, wish)
    people = Counter(_word(outcome) for outcome in wish.settlement.people.values())
    held = next((o.reason for o in wish.settlement.people.values() if isinstance(o, Held)), None)
    if held is not None:
        hold(connection, wish.claimed.built.batch.connector, held, wish.machine_now)
    if window is None:
        people["released"] += _close(connection, wish)
    return Settled(True, +people, held, lease_until=wish.machine_now + LEASE)


def _word(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "accepted"
        case Rejected() | Divide():
            return "rejected"
        case Deferred():
            return "deferred"
        case Held():
            return "held"
        case Unsure():
            return "unsure"
        case _:
            assert_never(outcome)


def _write_outcomes(connection: Connection, wish: Settling) -> None:
    by_word: dict[str, dict[int, Outcome]] = {}
    for enrolment_id, outcome in wish.settlement.people.items():
        by_word.setdefault(_word(outcome), {})[enrolment_id] = outcome
    _write_receipts(connection, wish, by_word.get("accepted", {}))
    for word in ("deferred", "held", "unsure"):
        if word in by_word:
            _move(connection, wish, word, by_word[word])
    refused = by_word.get("rejected", {})
    refusals = {e: o if isinstance(o, Rejected) else Rejected(_reason(o)) for e, o in refused.items()}
    if refusals:
        reject(connection, wish, refusals)


def _write_receipts(connection: Connection, wish: Settling, accepted: Mapping[int, Outcome]) -> None:
    node_id = wish.claimed.built.batch.node_id
    rows = [
        {"node_id": node_id, "enrolment_id": enrolment_id, "provider_ref": outcome.provider_ref}
        for enrolment_id, outcome in accepted.items()
        if isinstance(outcome, Accepted)
    ]
    if rows:
        # A receipt of an earlier attempt is only there after a written resend decision: the newer id is the one to ask.
        again = sa.delete(receipt).where(receipt.c.node_id == node_id, receipt.c.enrolment_id.in_(list(accepted)))
        connection.execute(again)
        connection.execute(sa.insert(receipt), rows)


def _move(connection: Connection, wish: Settling, word: str, people: Mapping[int, Outcome]) -> None:
    note = _reason(next(iter(people.values())))
    if word == "unsure":
        fate: dict[str, Any] = {"settled_at": wish.now, "lease_until": None}
        part(connection, wish.claimed.id, among(list(people)), "unsure", note=note, **fate)
        return
    waits = [
        retry_after(wish.claimed.id, wish.claimed.attempt, o.retry_after_s)
        for o in people.values()
        if isinstance(o, Deferred)
    ]
    retry_at = wish.machine_now + max(waits) if waits else None
    part(connection, wish.claimed.id, among(list(people)), "ready", note=note, retry_at=retry_at)


def _reason(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Accepted) else outcome.reason


def _close(connection: Connection, wish: Settling) -> int:
    """The end of the batch: those who never began go into a ready child; how many they were."""
    batch_id = wish.claimed.id
    has_receipt = sa.exists().where(receipt.c.node_id == send.c.node_id, receipt.c.enrolment_id == send.c.enrolment_id)
    waits = [o.retry_after_s for o in wish.settlement.people.values() if isinstance(o, Deferred)]
    retry_at = None
    if waits:
        asked = max((w for w in waits if w is not None), default=None)
        retry_at = wish.machine_now + retry_after(batch_id, wish.claimed.attempt, asked)
    left = part(connection, batch_id, ~has_receipt, "ready", retry_at=retry_at)
    stays = connection.execute(sa.select(sa.exists().where(open_people(batch_id)))).scalar()
    state = "accepted" if stays else "withdrawn"
    connection.execute(
        sa.update(batch).where(batch.c.id == batch_id).values(state=state, settled_at=wish.now, lease_until=None)
    )
    end_attempt(connection, wish, state)
    return left

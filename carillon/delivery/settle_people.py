"""Settle person by person: SMS and SMTP, whose hand-over is a row of windows, each committed before it begins.

Accepted people keep a receipt and stay; the refused get their outcome; who must be tried again and who is unsure move
into children, so that at the end those who stay are the accepted ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.backoff import MOST_DEFERRALS_OF_A_PERSON, person_retry_after, retry_after
from carillon.delivery.holds import hold
from carillon.delivery.model import LEASE, Settled
from carillon.delivery.parting import among, deferrals, in_doubt, open_people, part
from carillon.delivery.protocol import Accepted, Deferred, Divide, Held, Outcome, Rejected, Unsure
from carillon.delivery.settling import LOST, Settling, end_attempt, heed_all, reject, win
from carillon.store.tables import batch, receipt, send

PUT_OFF = "put off"


def settle_people(connection: Connection, wish: Settling) -> Settled:
    """Write the outcomes of a window; then either begin the next window, durably, or close the batch."""
    window = wish.settlement.window
    lease = {"lease_until": wish.machine_now + LEASE}
    if not win(connection, wish.claimed, lease | ({} if window is None else {"begun_through": window})):
        return LOST
    wish = _give_up(connection, wish)
    _write_outcomes(connection, wish)
    heed_all(connection, wish, wish.settlement.people.values())
    people = Counter(_word(outcome) for outcome in wish.settlement.people.values())
    held = next((o.reason for o in wish.settlement.people.values() if isinstance(o, Held)), None)
    if held is not None:
        hold(connection, wish.claimed.built.batch.connector, held, wish.machine_now)
    if window is None:
        people["released"] += _close(connection, wish)
    return Settled(True, +people, held, lease_until=wish.machine_now + LEASE)


def _give_up(connection: Connection, wish: Settling) -> Settling:
    """Whose mailbox has said "not now" for days is refused with its last words."""
    people = wish.settlement.people
    put_off = {e: o for e, o in people.items() if isinstance(o, Deferred) and o.because == "person"}
    if not put_off or deferrals(connection, wish.claimed.id) + 1 < MOST_DEFERRALS_OF_A_PERSON:
        return wish
    refused = {e: Rejected(f"{MOST_DEFERRALS_OF_A_PERSON} times: {o.reason}") for e, o in put_off.items()}
    return replace(wish, settlement=replace(wish.settlement, people={**people, **refused}))


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
        # Who waits for their own mailbox waits longer than who waits for the provider.
        word = PUT_OFF if isinstance(outcome, Deferred) and outcome.because == "person" else _word(outcome)
        by_word.setdefault(word, {})[enrolment_id] = outcome
    _write_receipts(connection, wish, by_word.get("accepted", {}))
    for word in (PUT_OFF, "deferred", "held", "unsure"):
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
        part(connection, wish.claimed.id, among(list(people)), "unsure", **in_doubt(note, wish.now))
        return
    times = deferrals(connection, wish.claimed.id) + (word != "held")
    waiting = {"note": note, "retry_at": _retry_at(wish, people, times), "deferrals": times}
    part(connection, wish.claimed.id, among(list(people)), "ready", **waiting)


def _retry_at(wish: Settling, people: Mapping[int, Outcome], times: int) -> int | None:
    waits = [
        (person_retry_after if o.because == "person" else retry_after)(wish.claimed.id, times, o.retry_after_s)
        for o in people.values()
        if isinstance(o, Deferred)
    ]
    return wish.machine_now + max(waits) if waits else None


def _reason(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Accepted) else outcome.reason


def _close(connection: Connection, wish: Settling) -> int:
    """The end of the batch: those who never began go into a ready child; how many they were."""
    batch_id = wish.claimed.id
    has_receipt = sa.exists().where(receipt.c.node_id == send.c.node_id, receipt.c.enrolment_id == send.c.enrolment_id)
    left = part(connection, batch_id, ~has_receipt, "ready")
    stays = connection.execute(sa.select(sa.exists().where(open_people(batch_id)))).scalar()
    state = "accepted" if stays else "withdrawn"
    connection.execute(
        sa.update(batch).where(batch.c.id == batch_id).values(state=state, settled_at=wish.now, lease_until=None)
    )
    end_attempt(connection, wish, state)
    return left

"""Settle: write what became of a hand-over, many in one commit; every arrow of the state machine that leaves `claimed`.

A settlement wins only while the batch is still this attempt's: claimed, or called unsure meanwhile by somebody who
found the lease over. What a late answer says is then evidence, and stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

from sqlalchemy.engine import Connection

from carillon.delivery.backoff import retry_after
from carillon.delivery.holds import hold
from carillon.delivery.model import Released, Settled
from carillon.delivery.parting import deferrals, in_doubt, part, unleased
from carillon.delivery.protocol import Accepted, Deferred, Divide, Held, Outcome, Rejected, Unsure
from carillon.delivery.settle_people import settle_people
from carillon.delivery.settling import LOST, Settling, end_attempt, heed_all, reject, win
from carillon.kernel.crash import crash_point
from carillon.store.tables import send


def settle(connection: Connection, wishes: Sequence[Settling]) -> list[Settled]:
    """Write these outcomes; a batch that is no longer this attempt's is left alone (`won` is False)."""
    answers = []
    for wish in wishes:
        whole = wish.settlement.whole
        answers.append(settle_people(connection, wish) if whole is None else _settle_whole(connection, wish, whole))
        crash_point("in_settle")
    return answers


def _settle_whole(connection: Connection, wish: Settling, outcome: Outcome | Released) -> Settled:
    people = len(wish.claimed.rows)
    if not isinstance(outcome, Released):
        heed_all(connection, wish, [outcome])
    match outcome:
        case Accepted(ref):
            fate = {"state": "accepted", "provider_ref": ref, "settled_at": wish.now, "lease_until": None}
            return _fate(connection, wish, "accepted", fate, ref=ref)
        case Unsure(reason):
            fate = {"state": "unsure", **in_doubt(reason, wish.now)}
            return _fate(connection, wish, "unsure", fate, note=reason)
        case Deferred(reason, asked_s):
            times = deferrals(connection, wish.claimed.id) + 1
            wait = wish.machine_now + retry_after(wish.claimed.id, times, asked_s)
            fate = unleased() | {"state": "ready", "note": reason, "retry_at": wait, "deferrals": times}
            return _fate(connection, wish, "deferred", fate, note=reason)
        case Released(reason):
            return _fate(connection, wish, "released", unleased() | {"state": "ready"}, note=reason)
        case Held(reason):
            return _held(connection, wish, reason)
        case Divide(reason) if people > 1:
            return _divide(connection, wish, reason)
        case Divide(reason):
            return _reject_all(connection, wish, Rejected(reason))
        case Rejected():
            return _reject_all(connection, wish, outcome)
        case _:
            assert_never(outcome)


def _fate(
    connection: Connection, wish: Settling, status: str, fate: dict[str, Any], *, note: str = "", ref: str = ""
) -> Settled:
    """All people of the batch share this fate."""
    if not win(connection, wish.claimed, fate):
        return LOST
    end_attempt(connection, wish, status, note=note, ref=ref)
    return Settled(True, {status: len(wish.claimed.rows)})


def _held(connection: Connection, wish: Settling, reason: str) -> Settled:
    settled = _fate(connection, wish, "held", unleased() | {"state": "ready"}, note=reason)
    hold(connection, wish.claimed.built.batch.connector, reason, wish.machine_now)
    return replace(settled, held=reason)


def _divide(connection: Connection, wish: Settling, reason: str) -> Settled:
    claimed = wish.claimed
    if not win(connection, claimed, {"state": "split", "note": reason, "settled_at": wish.now, "lease_until": None}):
        return LOST
    end_attempt(connection, wish, "divided", note=reason)
    middle = claimed.built.enrolments[claimed.rows[len(claimed.rows) // 2]]
    part(connection, claimed.id, send.c.enrolment_id < middle, "ready", settled_at=None)
    part(connection, claimed.id, send.c.enrolment_id >= middle, "ready", settled_at=None)
    return Settled(True, made_ready=True)


def _reject_all(connection: Connection, wish: Settling, refusal: Rejected) -> Settled:
    claimed = wish.claimed
    fate = {"state": "withdrawn", "note": refusal.reason, "settled_at": wish.now, "lease_until": None}
    if not win(connection, claimed, fate):
        return LOST
    end_attempt(connection, wish, "rejected", note=f"{refusal.code} {refusal.reason}".strip())
    reject(connection, wish, {claimed.built.enrolments[row]: refusal for row in claimed.rows})
    return Settled(True, {"rejected": len(claimed.rows)})

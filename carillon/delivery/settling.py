"""What all settlements share: the guarded UPDATE, the end of the attempt, and what a refusal writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.model import REJECTED, Claimed, Settled, Settlement
from carillon.delivery.parting import among, open_people
from carillon.delivery.protocol import Outcome, Rejected
from carillon.delivery.slower import LEAST, heed
from carillon.kernel.channels import OURS
from carillon.kernel.clock import Micros
from carillon.store.bulk import insert_rows
from carillon.store.engine import rowcount
from carillon.store.tables import attempt, batch, refusal, send

LOST = Settled(won=False)
STOP = "stop"
"""The reason of a suppression that the owner of a number asked for."""


@dataclass(frozen=True, slots=True)
class Settling:
    """A settlement and the instants that it is stamped with."""

    settlement: Settlement
    now: Micros
    machine_now: Micros

    @property
    def claimed(self) -> Claimed:
        return self.settlement.claimed


def win(connection: Connection, claimed: Claimed, fate: Mapping[str, Any]) -> bool:
    """Give the batch its fate if it is still this attempt's; whether it was."""
    spelt = {name: value for name, value in fate.items() if isinstance(value, sa.ClauseElement)}
    plain = {name: value for name, value in fate.items() if name not in spelt}
    update = _winning(tuple(plain))
    its = {"its_id": claimed.id, "its_worker": claimed.worker, "its_begun_at": claimed.begun_at}
    said = its | {f"to_{name}": value for name, value in plain.items()}
    return rowcount(connection.execute(update.values(**spelt) if spelt else update, said)) == 1


@cache
def _winning(names: tuple[str, ...]) -> sa.Update:
    # Made once: to build a statement anew takes longer than to carry it out.
    ours = sa.and_(
        batch.c.id == sa.bindparam("its_id"),
        batch.c.state.in_(("claimed", "unsure")),
        batch.c.worker == sa.bindparam("its_worker"),
        batch.c.begun_at == sa.bindparam("its_begun_at"),
    )
    return sa.update(batch).where(ours).values({name: sa.bindparam(f"to_{name}") for name in names})


def end_attempt(connection: Connection, wish: Settling, status: str, *, note: str = "", ref: str = "") -> None:
    """Write how the attempt ended."""
    its = {"its_batch": wish.claimed.id, "its_no": wish.claimed.attempt}
    end = {"to_at": wish.machine_now, "to_status": status, "to_note": note or None, "to_ref": ref or None}
    connection.execute(_ENDED, its | end)


_ENDED = (
    sa.update(attempt)
    .where(attempt.c.batch_id == sa.bindparam("its_batch"), attempt.c.no == sa.bindparam("its_no"))
    .values(
        ended_at=sa.bindparam("to_at"), status=sa.bindparam("to_status"), note=sa.bindparam("to_note"),
        provider_ref=sa.bindparam("to_ref"),
    )
)  # fmt: skip


def _why(said: Rejected) -> str:
    # A START takes back what stands as a STOP, and nothing else.
    return STOP if said.suppressed else f"{said.code} {said.reason}".strip()


def heed_all(connection: Connection, wish: Settling, outcomes: Iterable[Outcome]) -> None:
    """What these outcomes say about the connector's pace; who goes in whole batches keeps one a minute."""
    built = wish.claimed.built
    least = max(LEAST, len(wish.claimed.rows)) if built.whole else LEAST
    heed(connection, built.batch.connector, outcomes, wish.machine_now, least)


def reject(connection: Connection, wish: Settling, refusals: Mapping[int, Rejected]) -> None:
    """Write the refusals of these people, and keep for core the addresses that are dead or opted out."""
    batch_, built = wish.claimed.built.batch, wish.claimed.built
    rows = connection.execute(
        sa.update(send)
        .where(open_people(batch_.id), among(list(refusals)))
        .values(outcome=REJECTED)
        .returning(send.c.enrolment_id)
    ).scalars()
    address_of = {built.enrolments[row]: built.addresses[row] for row in wish.claimed.rows}
    kept = [
        (batch_.channel.value, address_of[enrolment_id], _why(said), wish.now)
        for enrolment_id, said in ((row, refusals[row]) for row in rows)
        if (said.invalid_address or said.suppressed) and batch_.channel not in OURS
    ]
    if kept:
        insert_rows(connection, refusal, ("channel", "address_key", "reason", "at"), kept)

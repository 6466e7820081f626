"""What all settlements share: the guarded UPDATE, the end of the attempt, and what a refusal writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    ours = sa.and_(
        batch.c.id == claimed.id,
        batch.c.state.in_(("claimed", "unsure")),
        batch.c.worker == claimed.worker,
        batch.c.begun_at == claimed.begun_at,
    )
    return rowcount(connection.execute(sa.update(batch).where(ours).values(**fate))) == 1


def end_attempt(connection: Connection, wish: Settling, status: str, *, note: str = "", ref: str = "") -> None:
    """Write how the attempt ended."""
    row = sa.and_(attempt.c.batch_id == wish.claimed.id, attempt.c.no == wish.claimed.attempt)
    connection.execute(
        sa.update(attempt)
        .where(row)
        .values(ended_at=wish.machine_now, status=status, note=note or None, provider_ref=ref or None)
    )


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

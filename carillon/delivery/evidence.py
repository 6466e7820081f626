"""Settle unsure batches by evidence: a report about a send proves that the provider took it.

A request that carried many people is accepted whole, so one report settles all of them; where people went one by one a
report settles its own person only. Reports are asked as they stand stored, so it does not matter whether one came before
or after its batch was called unsure. A batch that is wanted once more is settled by them up to its claim.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.parting import among, open_people, part
from carillon.kernel.clock import Micros
from carillon.store.by_contact import same_event
from carillon.store.engine import Store, rowcount
from carillon.store.tables import attempt, batch, contact_event, event, send

BY_REPORT = "a report about it came in"

IS_OPEN = sa.or_(batch.c.state == "unsure", sa.and_(batch.c.state == "ready", batch.c.resend_at.is_not(None)))
"""A report settles it: nobody knows whether it left, or it is about to be sent once more."""


def settle_by_evidence(store: Store, *, now: Micros, machine_now: Micros) -> int:
    """Accept every unsure send that a report speaks of (and whom it proves with it); how many people that settles."""
    with store.write("ledger") as connection:
        proved = proved_people(connection)
        return sum(
            _accept(connection, batch_id, people, now=now, machine_now=machine_now)
            for batch_id, people in proved.items()
        )


def proved_people(connection: Connection) -> dict[int, list[int]]:
    """Unsure batch → the enrolments of its people that reports speak of."""
    is_report = sa.and_(contact_event.c.kind >= "message.", contact_event.c.kind < "message/")
    spoken_of = sa.exists().where(
        contact_event.c.contact_id == send.c.contact_id,
        is_report,
        same_event(contact_event, event),
        event.c.node_id == send.c.node_id,
        event.c.enrolment_id == send.c.enrolment_id,
    )
    rows = connection.execute(
        sa.select(send.c.batch_id, send.c.enrolment_id)
        .join_from(batch, send, send.c.batch_id == batch.c.id)
        .where(IS_OPEN, send.c.outcome.is_(None), spoken_of)
    )
    proved: dict[int, list[int]] = defaultdict(list)
    for batch_id, enrolment_id in rows:
        proved[batch_id].append(enrolment_id)
    return proved


def _accept(
    connection: Connection, batch_id: int, enrolments: Sequence[int], *, now: Micros, machine_now: Micros
) -> int:
    unsure = sa.and_(batch.c.id == batch_id, IS_OPEN)
    row = connection.execute(sa.select(batch.c.begun_through).where(unsure).with_for_update()).one_or_none()
    if row is None:  # another decision came first
        return 0
    accepted = {"settled_at": now, "note": BY_REPORT, "worker": None, "lease_until": None}
    if row.begun_through is not None:
        return part(connection, batch_id, among(enrolments), "accepted", **accepted)
    if rowcount(connection.execute(sa.update(batch).where(unsure).values(state="accepted", **accepted))) == 0:
        return 0
    write_decision(connection, batch_id, "evidence", BY_REPORT, machine_now)
    return connection.execute(sa.select(sa.func.count()).where(open_people(batch_id))).scalar_one()


def write_decision(connection: Connection, batch_id: int, status: str, note: str, at: Micros) -> None:
    """An attempt row that is no call: who decided what about this batch, and why."""
    number = sa.select(sa.func.coalesce(sa.func.max(attempt.c.no), 0) + 1).where(attempt.c.batch_id == batch_id)
    connection.execute(
        sa.insert(attempt).values(
            batch_id=batch_id, no=number.scalar_subquery(), began_at=at, ended_at=at, status=status, note=note
        )
    )

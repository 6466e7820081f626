"""Reclaim: decide what became of claims whose worker is gone or whose lease is over.

Where no byte can have left the batch is ready again; where one can it is unsure, never ready. Of a batch that goes
person by person only the open window is unsure: who has a receipt was accepted, who stood behind the window never began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.parting import in_doubt, open_people, part, unleased
from carillon.kernel.clock import Micros
from carillon.kernel.worker import is_gone
from carillon.store.engine import Store, rowcount
from carillon.store.tables import attempt, batch, receipt, send

LAPSED = "the worker that began it is gone, or its lease was over"


def reclaim(store: Store, *, now: Micros, machine_now: Micros) -> Mapping[str, int]:
    """Settle all lapsed claims and let go of what gone workers had in hand; people by what they became."""
    with store.write("ledger") as connection:
        gone = _gone_workers(connection)
        _let_go(connection, gone)
        lapsed = _lapsed(gone, machine_now)
        found = connection.execute(
            sa.select(batch.c.id, batch.c.begun_at, batch.c.begun_through, batch.c.worker)
            .where(lapsed)
            .order_by(batch.c.id)
            .with_for_update(skip_locked=True)
        ).all()
        became: Counter[str] = Counter()
        for row in found:
            if row.begun_at is None:
                became += Counter(ready=_settle(connection, row.id, unleased() | {"state": "ready"}))
            elif row.begun_through is None:
                unsure = _settle(connection, row.id, {"state": "unsure", **in_doubt(LAPSED, now)})
                became += Counter(unsure=unsure)
            else:
                became += _by_windows(connection, row.id, row.begun_through, now)
            _end_attempt(connection, row.id, machine_now)
        return +became


def has_lapsed(connection: Connection, campaign_id: int, machine_now: Micros) -> bool:
    """Whether a claim of this campaign waits to be reclaimed: behind it may stand people who never began."""
    mine = _lapsed(_gone_workers(connection), machine_now)
    found = sa.select(batch.c.id).where(batch.c.campaign_id == campaign_id, mine).limit(1)
    return connection.scalar(found) is not None


def _lapsed(gone: Sequence[str], machine_now: Micros) -> sa.ColumnElement[bool]:
    is_over = sa.or_(batch.c.lease_until <= machine_now, batch.c.worker.in_(gone))
    return sa.and_(batch.c.state == "claimed", is_over)


def _gone_workers(connection: Connection) -> list[str]:
    holders = connection.execute(
        sa.select(batch.c.worker).where(batch.c.state.in_(("ready", "claimed")), batch.c.worker.is_not(None)).distinct()
    ).scalars()
    return [worker for worker in holders if worker is not None and is_gone(worker)]


def _let_go(connection: Connection, gone: list[str]) -> None:
    if gone:
        taken = sa.and_(batch.c.state == "ready", batch.c.worker.in_(gone))
        connection.execute(sa.update(batch).where(taken).values(worker=None, lease_until=None))


def _settle(connection: Connection, batch_id: int, fate: Mapping[str, object]) -> int:
    """The people who share this fate; 0 if somebody settled the batch meanwhile."""
    claimed = sa.update(batch).where(batch.c.id == batch_id, batch.c.state == "claimed").values(**fate)
    if rowcount(connection.execute(claimed)) == 0:
        return 0
    return connection.execute(sa.select(sa.func.count()).where(open_people(batch_id))).scalar_one()


def _by_windows(connection: Connection, batch_id: int, through: int, now: Micros) -> Counter[str]:
    has_receipt = sa.exists().where(receipt.c.node_id == send.c.node_id, receipt.c.enrolment_id == send.c.enrolment_id)
    began = send.c.enrolment_id <= through
    settled = {"settled_at": now, "lease_until": None}
    unsure = part(connection, batch_id, sa.and_(~has_receipt, began), "unsure", **in_doubt(LAPSED, now))
    ready = part(connection, batch_id, sa.and_(~has_receipt, ~began), "ready", note=LAPSED)
    accepted = connection.execute(sa.select(sa.func.count()).where(open_people(batch_id))).scalar_one()
    _settle(connection, batch_id, settled | {"state": "accepted" if accepted else "split"})
    return Counter(unsure=unsure, ready=ready, accepted=accepted)


def _end_attempt(connection: Connection, batch_id: int, machine_now: Micros) -> None:
    open_attempt = sa.and_(attempt.c.batch_id == batch_id, attempt.c.ended_at.is_(None), attempt.c.status == "begun")
    connection.execute(
        sa.update(attempt).where(open_attempt).values(ended_at=machine_now, status="lapsed", note=LAPSED)
    )

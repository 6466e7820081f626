"""A restored store is older than what really left: it says so, and nothing goes out of it until a person has looked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.unsure import FROM_BACKUP
from carillon.kernel.clock import Micros
from carillon.plan.operate import PAUSED_ALL
from carillon.store import tables as t
from carillon.store.engine import Store, rowcount
from carillon.store.numbering import skip_numbers
from carillon.store.writing import put_row

MARK = "restored"
"""The name in `core.setting` of what stands from a restore until `carillon resume --after-restore`."""
EPOCH = "ledger.epoch"
"""How often this store was restored."""
HELD = "restored from a backup: carillon resume --after-restore"
PAUSED_BY = "carillon restore"
EXIT_CODE = "restored"

FAR_AHEAD = 1_000_000_000
"""Enrolments are numbered from so far on: a link in a mail that the restored ledger knows nothing of must never come
to speak for somebody who entered later under the same number."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Between these two instants anything may have left of which this store knows nothing."""

    taken_at: Micros
    restored_at: Micros
    epoch: int


def mark_of(connection: Connection) -> Mark | None:
    """The mark of a store that was restored and not resumed yet."""
    text = connection.scalar(sa.select(t.setting.c.value).where(t.setting.c.name == MARK))
    return None if text is None else Mark(**json.loads(text))


def epoch_of(connection: Connection) -> int:
    """How often this store was restored."""
    return int(connection.scalar(sa.select(t.setting.c.value).where(t.setting.c.name == EPOCH)) or 0)


def mark_restored(store: Store, *, taken_at: Micros, restored_at: Micros, who: str) -> Mark:
    """Hold every campaign, and call unsure whatever was ready, claimed or unsure when the backup was taken.

    May be repeated: an earlier mark that still stands keeps the earlier instant.
    """
    with store.write("core") as connection:
        mark = _hold_all(connection, taken_at, restored_at, who)
    with store.write("ledger") as connection:
        _number_far_ahead(connection, mark)
        withhold(connection, ("ready", "claimed", "unsure"), mark.taken_at)
        connection.execute(t.lease.delete())
        begun = sa.and_(t.attempt.c.ended_at.is_(None), t.attempt.c.status == "begun")
        connection.execute(
            t.attempt.update().where(begun).values(ended_at=restored_at, status="lapsed", note=FROM_BACKUP)
        )
    return mark


def _hold_all(connection: Connection, taken_at: Micros, restored_at: Micros, who: str) -> Mark:
    before = mark_of(connection)
    mark = Mark(min(taken_at, before.taken_at) if before else taken_at, restored_at, epoch_of(connection) + 1)
    put_row(connection, t.setting, {"name": MARK}, {"value": json.dumps(asdict(mark))})
    put_row(connection, t.setting, {"name": EPOCH}, {"value": str(mark.epoch)})
    # What is applied before a person has looked may have been applied, and have sent, since the backup.
    never = sa.false()
    put_row(connection, t.setting, {"name": PAUSED_ALL}, {"value": PAUSED_BY}, only_over=never)
    c = t.campaign.c
    connection.execute(t.campaign.update().where(c.live_version.is_not(None)).values(hold_reason=HELD))
    details = f"taken {taken_at}, epoch {mark.epoch}"
    connection.execute(t.audit.insert().values(at=restored_at, who=who, what="restore", subject="", details=details))
    return mark


def _number_far_ahead(connection: Connection, mark: Mark) -> None:
    newest = connection.scalar(sa.select(sa.func.max(t.enrolment.c.id))) or 0
    nobody = dict.fromkeys(("campaign_id", "version_id", "contact_id"), 0)
    at = dict.fromkeys(("arrived_at", "entered_at", "ended_at"), mark.restored_at)
    row = {"id": newest + FAR_AHEAD, "wave_id": -mark.epoch, "state": "done", "exit_code": EXIT_CODE, **nobody, **at}
    skip_numbers(connection, t.enrolment, row)


def withhold(connection: Connection, states: tuple[str, ...], at: Micros) -> int:
    """Batches in these states may have left at `at`: unsure, each person for themselves; how many batches."""
    b = t.batch.c
    # `begun_through` beyond everybody: the batch may have left in other parts than these, so one report proves one person.
    everybody = sa.select(sa.func.max(t.enrolment.c.id)).scalar_subquery()
    fate = {
        "state": "unsure", "note": FROM_BACKUP, "claimed_at": sa.func.coalesce(b.claimed_at, at),
        "settled_at": sa.func.coalesce(b.settled_at, at), "begun_through": everybody, "worker": None,
        "lease_until": None, "retry_at": None, "resend_at": None,
    }  # fmt: skip
    return rowcount(connection.execute(t.batch.update().where(b.state.in_(states)).values(fate)))

"""Feedback that falls silent: providers took messages, and for hours nothing came back about any."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.feedback.model import FeedbackKind
from carillon.kernel.clock import DAY, HOUR, Micros
from carillon.kernel.counting import counted, verb
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.writing import put_row

PATIENCE = 6 * HOUR
"""Between a hand-over and the first report there are seconds; hours are a broken webhook."""
LOOKED_BACK = 7 * DAY
TOLD = "alarm.feedback"
"""The name in `core.setting` of the instant at which the alarm was last raised."""
AGAIN_AFTER = HOUR

FROM_PROVIDERS = tuple(
    f"message.{kind}"
    for kind in (
        FeedbackKind.PROCESSED, FeedbackKind.DEFERRED, FeedbackKind.DELIVERED, FeedbackKind.DROPPED,
        FeedbackKind.BOUNCED, FeedbackKind.FAILED,
    )
)  # fmt: skip
"""What only a webhook tells: opens and clicks come to our own address."""


@dataclass(frozen=True, slots=True)
class Silence:
    """So many messages were handed over, and the providers say nothing about them."""

    people: int
    since: Micros
    """When the first of them was handed over."""
    last_report: Micros | None

    @property
    def sentence(self) -> str:
        return f"{counted(self.people, 'message')} {verb(self.people, 'were')} handed over and no provider has reported about any of them"


def silence(connection: Connection, reporting: Collection[str], now: Micros) -> Silence | None:
    """The silence of the connectors that report, or None while reports come, or nothing is old enough to miss one."""
    ev, b = t.event.c, t.batch.c
    newest = sa.select(ev.occurred_at).where(ev.kind.in_(FROM_PROVIDERS), ev.occurred_at > now - LOOKED_BACK)
    last: Micros | None = connection.scalar(newest.order_by(ev.occurred_at.desc()).limit(1))
    handed = sa.and_(
        b.state == "accepted", b.connector.in_(sorted(reporting)), b.claimed_at > (last or now - LOOKED_BACK)
    )
    row = connection.execute(sa.select(sa.func.sum(b.n), sa.func.min(b.claimed_at)).where(handed)).one()
    if row[1] is None or row[1] > now - PATIENCE:
        return None
    return Silence(int(row[0]), row[1], last)


def is_to_be_told(store: Store, now: Micros) -> bool:
    """Whether an hour has passed since somebody raised the alarm; says yes to one caller only."""
    told = sa.cast(t.setting.c.value, sa.BigInteger) <= now - AGAIN_AFTER
    with store.write("core") as connection:
        return bool(put_row(connection, t.setting, {"name": TOLD}, {"value": str(now)}, only_over=told))

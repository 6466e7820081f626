"""The end of a restore: a person has looked at the numbers, and campaigns run again."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from carillon.delivery.unsure import FROM_BACKUP, decide
from carillon.kernel.clock import Micros
from carillon.operating.gap import Gap, catch_up_on_new, may_have_left
from carillon.operating.replace_store import MostPeople
from carillon.operating.restored import HELD, MARK, PAUSED_BY, Mark, mark_of
from carillon.plan.applied import applied_names, load_rules
from carillon.plan.operate import PAUSED_ALL
from carillon.store import tables as t
from carillon.store.engine import Store


class NotRestored(Exception):
    """Nothing was restored, or it was resumed already."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What goes on, and what stays unsure."""

    campaigns: list[str]
    gap: Gap
    sent_again: int
    """People who will be written to because a person says that nothing left."""


def resume_restored(store: Store, *, nothing_left: bool, most_people: MostPeople, who: str, now: Micros) -> Resumed:
    """Let the campaigns of a restored store run again; raises NotRestored.

    What may have left since the backup stays unsure, unless a person knows that nothing left (`nothing_left`).
    """
    with store.read() as connection:
        mark = mark_of(connection)
        names = list(applied_names(connection))
    if mark is None:
        raise NotRestored("this store was not restored, or it was resumed already")
    gap = Gap({}, {})
    if names:
        with store.read() as connection:
            rules = load_rules(connection)
        gap = catch_up_on_new(store, mark, most_people(rules))
    again = _send_again(store, who, now) if nothing_left else 0
    _let_go(store, mark, who, now, f"unsure {gap.people}, sent again {again}")
    return Resumed(names, Gap(may_have_left(store), gap.ended), again)


def _send_again(store: Store, who: str, now: Micros) -> int:
    b = t.batch.c
    with store.read() as connection:
        batches = list(connection.scalars(sa.select(b.id).where(b.state == "unsure", b.note == FROM_BACKUP)))
    decided = decide(store, batches, "resend", who=who, why="nothing left since the backup", now=now, machine_now=now)
    return sum(decided.values())


def _let_go(store: Store, mark: Mark, who: str, now: Micros, details: str) -> None:
    """Only what the restore had said is taken back: who was paused or stopped before stays so."""
    c, s = t.campaign.c, t.setting.c
    with store.write("core") as connection:
        paused = connection.scalar(sa.select(s.value).where(s.name == PAUSED_ALL)) == PAUSED_BY
        if paused:
            new = sa.and_(c.operator_state == "paused", c.first_applied_at > mark.restored_at)
            connection.execute(t.campaign.update().where(new).values(operator_state="running"))
            connection.execute(t.setting.delete().where(s.name == PAUSED_ALL))
        connection.execute(t.campaign.update().where(c.hold_reason == HELD).values(hold_reason=None))
        connection.execute(t.setting.delete().where(s.name == MARK))
        connection.execute(
            t.audit.insert().values(at=now, who=who, what="resume", subject="--after-restore", details=details)
        )

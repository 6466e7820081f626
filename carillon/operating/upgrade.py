"""An upgrade in its order: everything pauses, a backup, the new layout, everything goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Clock, Micros
from carillon.kernel.counting import counted
from carillon.kernel.worker import is_gone
from carillon.operating.archive import known_revisions
from carillon.plan.operate import set_operator_state
from carillon.store import tables as t
from carillon.store.engine import PARTS, Part, Store
from carillon.store.migrate import HEADS, StoreTooNewError, migrate, stored_revision
from carillon.store.writing import put_row

PAUSED = "upgrade.paused"
"""The name in `core.setting` of the campaigns that an upgrade paused: another one, after a crash, resumes them."""
LOOK_EVERY_S = 0.5


class StillAtWork(Exception):
    """Somebody did not let go in time."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did."""

    before: dict[Part, str | None]
    parts: list[Part]
    """Those that were behind."""
    resumed: list[str]


def layout_of(store: Store) -> dict[Part, str | None]:
    """The revision of each part; raises StoreTooNewError where one is newer than this Carillon."""
    with store.engine(None).connect() as connection, connection.begin():
        found = {part: stored_revision(connection, part) for part in PARTS}
    for part, revision in found.items():
        if revision is not None and revision != HEADS[part] and revision not in known_revisions(part):
            raise StoreTooNewError(
                f"The part {part} of this store stands at {revision}, this Carillon knows {HEADS[part]} at most. "
                "The store was written by a newer version: install that one. Nothing was changed."
            )
    return found


def upgrade(
    store: Store, back_up: Callable[[], None], *, who: str, clock: Clock, patience_s: float, say: Callable[[str], None]
) -> Upgraded:
    """Bring a store to this version's layout; raises StoreTooNewError or StillAtWork, and has resumed everything then."""
    before = layout_of(store)
    is_new = before["core"] is None
    paused = [] if is_new else pause_all(store, who, clock.now())
    try:
        if not is_new:
            say(f"{counted(len(paused), 'campaign')} paused")
            wait_for_quiet(store, clock, patience_s)
            back_up()
        parts = migrate(store)
    except BaseException:
        if not is_new:
            resume_paused(store, who, clock.now())
        raise
    return Upgraded(before, parts, [] if is_new else resume_paused(store, who, clock.now()))


def pause_all(store: Store, who: str, at: Micros) -> list[str]:
    """Pause what runs, and write down what that was; also what an earlier upgrade paused and never resumed."""
    c, s = t.campaign.c, t.setting.c
    with store.write("core") as connection:
        left = connection.scalar(sa.select(s.value).where(s.name == PAUSED))
        names = set(json.loads(left) if left else ())
        names |= set(connection.scalars(sa.select(c.name).where(c.operator_state == "running")))
        put_row(connection, t.setting, {"name": PAUSED}, {"value": json.dumps(sorted(names))})
    set_operator_state(store, sorted(names), "paused", who=who, why="upgrade", at=at)
    return sorted(names)


def resume_paused(store: Store, who: str, at: Micros) -> list[str]:
    """Let those go on that the upgrade had paused."""
    s = t.setting.c
    with store.read() as connection:
        names: Sequence[str] = json.loads(connection.scalar(sa.select(s.value).where(s.name == PAUSED)) or "[]")
    set_operator_state(store, names, "running", who=who, why="upgrade", at=at)
    with store.write("core") as connection:
        connection.execute(t.setting.delete().where(s.name == PAUSED))
    return list(names)


def wait_for_quiet(store: Store, clock: Clock, patience_s: float) -> None:
    """Wait until nobody advances a campaign and no batch is on its way; raises StillAtWork."""
    deadline = time.monotonic() + patience_s
    while True:
        with store.read() as connection:
            busy = at_work(connection, clock.now())
        if not busy:
            return
        if time.monotonic() >= deadline:
            raise StillAtWork(f"still at work after {patience_s:.0f} s: {', '.join(busy)}")
        time.sleep(LOOK_EVERY_S)


def at_work(connection: Connection, machine_now: Micros) -> list[str]:
    """Who holds a lease or a claim now, in words."""
    held = connection.execute(sa.select(t.lease.c.name, t.lease.c.holder).where(t.lease.c.until > machine_now)).all()
    b = t.batch.c
    claimed = connection.execute(
        sa.select(b.worker, sa.func.count()).where(b.state == "claimed", b.lease_until > machine_now).group_by(b.worker)
    ).all()
    return [
        *(row.name for row in held if not is_gone(row.holder)),
        *(f"{counted(n, 'batch')} of {worker}" for worker, n in claimed if worker is None or not is_gone(worker)),
    ]

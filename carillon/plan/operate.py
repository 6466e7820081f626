"""What a person says to a running campaign: pause, resume, stop. Their word outlives every apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.kernel.clock import Micros
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.writing import put_row

OperatorState = Literal["running", "paused", "stopped"]

PAUSED_ALL = "operator.paused"
"""The name in `core.setting` under which `pause --all` stands: what is applied later begins paused, too."""

_WORD: dict[OperatorState, str] = {"running": "resume", "paused": "pause", "stopped": "stop"}


@dataclass(frozen=True, slots=True)
class Changed:
    """A campaign whose operator state was changed."""

    id: int
    name: str
    before: str


def set_operator_state(
    store: Store, names: Sequence[str], state: OperatorState, *, who: str, why: str = "", at: Micros
) -> list[Changed]:
    """Pause, resume or stop these campaigns; returns those that were in another state before."""
    c = t.campaign.c
    with store.write("core") as connection:
        rows = connection.execute(
            sa.select(c.id, c.name, c.operator_state)
            .where(c.name.in_(list(names)), c.operator_state != state)
            .order_by(c.name)
        ).all()
        changed = [Changed(row.id, row.name, row.operator_state) for row in rows]
        connection.execute(
            t.campaign.update().where(c.id.in_([one.id for one in changed])).values(operator_state=state)
        )
        for one in changed:
            write_audit(connection, at, who, _WORD[state], one.name, why or f"was {one.before}")
    return changed


def set_paused_for_all(store: Store, is_paused: bool, *, who: str, why: str = "", at: Micros) -> None:
    """Remember `pause --all`, or end it: campaigns that are applied while it stands begin paused."""
    with store.write("core") as connection:
        if is_paused:
            put_row(connection, t.setting, {"name": PAUSED_ALL}, {"value": who})
        else:
            connection.execute(t.setting.delete().where(t.setting.c.name == PAUSED_ALL))
        write_audit(connection, at, who, "pause" if is_paused else "resume", "--all", why)


def end_campaigns(store: Store, names: Sequence[str], *, who: str, why: str, at: Micros) -> None:
    """Nobody enters these any more; who is under way goes on to the end."""
    c = t.campaign.c
    with store.write("core") as connection:
        connection.execute(t.campaign.update().where(c.name.in_(list(names))).values(wanted_state="ended"))
        for name in names:
            write_audit(connection, at, who, "end", name, why)


def first_operator_state(connection: Connection) -> OperatorState:
    """The state that a campaign begins in when it is applied for the first time."""
    paused = connection.scalar(sa.select(t.setting.c.value).where(t.setting.c.name == PAUSED_ALL))
    return "running" if paused is None else "paused"


def write_audit(connection: Connection, at: Micros, who: str, what: str, subject: str, details: str) -> None:
    """Who did what to which campaign, and why."""
    connection.execute(t.audit.insert().values(at=at, who=who, what=what, subject=subject, details=details))

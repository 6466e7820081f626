"""Whether a campaign is applied just as its files say, and what it does next: then nothing is left to apply."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.advance.next_due import next_due
from carillon.definition.entries import Scheduled
from carillon.foresight.draft import Draft
from carillon.journey.ground import load_ground
from carillon.kernel.clock import Micros, clock_time
from carillon.plan.applied import Applied, load_campaign, load_rules
from carillon.store import tables as t
from carillon.store.engine import Store


def next_of_applied(store: Store, draft: Draft, now: Micros) -> str | None:
    """What comes next for a campaign that is applied and unchanged, as a sentence; None where `apply` would change something."""
    with store.read() as connection:
        if not is_as_applied(connection, draft):
            return None
    ground = load_ground(store, draft.plan.campaign, now)
    if stands := _stands(ground.applied):
        return f"applied and unchanged; {stands}"
    due = next_due(ground)
    if due is not None:
        return f"applied and unchanged; its next run is on {clock_time(due, draft.rules.timezone)}"
    if all(isinstance(entry, Scheduled) for entry in draft.plan.entries):
        return "applied and unchanged; nobody is due any more"
    return "applied and unchanged; it runs when something happens"


def is_as_applied(connection: Connection, draft: Draft) -> bool:
    """Plan, house rules and every text in the store are those of the files."""
    try:
        applied = load_campaign(connection, draft.plan.campaign)
        rules = load_rules(connection)
    except LookupError:
        return False
    is_same = applied.plan == draft.plan and applied.wanted_state == draft.plan.state and rules == draft.rules
    return is_same and _texts(draft) <= _texts_applied(connection, applied.id)


Text = tuple[str, str, str, str, str]
"""Step id, arm, channel, language, and the hash of its words."""


def _texts(draft: Draft) -> set[Text]:
    return {(c.step_id, c.arm, c.channel, c.language, c.hash) for c in draft.contents.contents}


def _texts_applied(connection: Connection, campaign_id: int) -> set[Text]:
    nc, n = t.node_content.c, t.node.c
    rows = connection.execute(
        sa.select(n.step_id, nc.arm, nc.channel, nc.language, t.content.c.hash)
        .join_from(t.node_content, t.node, n.id == nc.node_id)
        .join(t.content, t.content.c.id == nc.content_id)
        .where(n.campaign_id == campaign_id)
    )
    return set(rows.tuples())


def _stands(applied: Applied) -> str | None:
    """Why it does not run, and how it goes on."""
    if applied.operator_state != "running":
        return f"it is {applied.operator_state}: carillon resume {applied.name}"
    if applied.hold_reason is not None:
        return f"it is held, {applied.hold_reason}: carillon resume {applied.name}"
    return "it has ended" if applied.wanted_state == "ended" else None

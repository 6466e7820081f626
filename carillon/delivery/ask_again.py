"""Ask again: conditions that reserve asked more than five minutes ago are asked once more before the bodies are built.

A paced hand-over may take hours. Who has come into an excluded segment meanwhile, or no longer fulfils `only_if`, is
skipped with that reason; who was wanted once more (`delivery/resend`) is decided wholly anew. Consent, suppression,
address and exits are the claim's, whatever the age.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.model import skipped
from carillon.delivery.parting import among, give_back, open_people
from carillon.delivery.question import question_of
from carillon.delivery.release import doubt_again
from carillon.delivery.take import may_go
from carillon.journey.ground import Ground, load_ground
from carillon.kernel.clock import Micros
from carillon.plan.model import MessageNode, Plan
from carillon.policy.decide import KEEPS, refusals
from carillon.store import tables as t
from carillon.store.engine import Store

MOST_AT_ONCE = 256
"""Batches asked together: as many as a worker takes in hand, in the order in which it takes them."""


def ask_again(store: Store, *, now: Micros, machine_now: Micros, campaign_id: int | None = None) -> Counter[str]:
    """Ask the next batches whose answers have grown old; what became of people by outcome. Nothing old: one look-up."""
    b = t.batch.c
    mine = [] if campaign_id is None else [b.campaign_id == campaign_id]
    with store.read() as connection:
        rows = connection.execute(
            sa.select(b.id, t.campaign.c.name)
            .join_from(t.batch, t.campaign, t.campaign.c.id == b.campaign_id)
            .where(_is_old(now, machine_now), may_go(machine_now), *mine)
            .order_by(b.priority.desc(), b.due_at, b.id)
            .limit(MOST_AT_ONCE)
        ).all()
    batches: dict[str, list[int]] = defaultdict(list)
    for batch_id, name in rows:
        batches[name].append(batch_id)
    became: Counter[str] = Counter()
    for name, ids in batches.items():
        became.update(_ask(load_ground(store, name, now), ids, machine_now))
    return became


def _is_old(now: Micros, machine_now: Micros) -> sa.ColumnElement[bool]:
    b = t.batch.c
    in_nobodys_hand = sa.or_(b.lease_until.is_(None), b.lease_until <= machine_now)
    return sa.and_(b.state == "ready", b.due_at <= now, b.ask_at <= now, in_nobodys_hand)


def _ask(ground: Ground, ids: Sequence[int], machine_now: Micros) -> Counter[str]:
    b = t.batch.c
    became: Counter[str] = Counter()
    with ground.store.write("ledger") as connection:
        old = sa.select(b.id, b.node_id).where(b.id.in_(ids), _is_old(ground.now, machine_now))
        rows = connection.execute(old.with_for_update(skip_locked=True)).tuples().all()
        chosen = b.id.in_([batch_id for batch_id, _ in rows])
        became["unsure"] += doubt_again(connection, chosen, note="asked anew: its answers had grown old")
        for version_id, plan, node, batches in _questions(ground, rows):
            for (batch_id, reason), people in _refused(connection, ground, version_id, plan, node, batches).items():
                refused = t.send.update().where(open_people(batch_id), among(people))
                connection.execute(refused.values(outcome=skipped(reason)))
                give_back(connection, batch_id, len(people))
                became[skipped(reason)] += len(people)
        _keep(connection, chosen, ground.now)
    return +became


def _questions(
    ground: Ground, rows: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, Plan, MessageNode, Sequence[int]]]:
    """Each message of each version, with the batches that are of it."""
    for version_id, plan in ground.applied.versions.items():
        for node in plan.messages:
            if batches := [batch_id for batch_id, node_id in rows if node_id == ground.applied.nodes[node.id]]:
                yield version_id, plan, node, batches


def _refused(
    connection: Connection, ground: Ground, version_id: int, plan: Plan, node: MessageNode, batches: Sequence[int]
) -> Mapping[tuple[int, str], list[int]]:
    """(batch, reason) → the people against whom something stands now."""
    e, s, b = t.enrolment.c, t.send.c, t.batch.c
    due = (
        sa.select(*(s.due_at.label("due_at") if c.name == "due_at" else c for c in e), s.batch_id)
        .join_from(t.send, t.enrolment, e.id == s.enrolment_id)
        .join(t.batch, b.id == s.batch_id)
        .where(s.batch_id.in_(batches), b.state == "ready", s.outcome.is_(None), e.version_id == version_id)
        .subquery("due")
    )
    refused = refusals(question_of(connection, ground, plan, node), due).subquery("refused")
    rows = connection.execute(
        sa.select(due.c.batch_id, refused.c.reason, refused.c.enrolment_id).join_from(
            refused, due, due.c.id == refused.c.enrolment_id
        )
    )
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    for batch_id, reason, enrolment_id in rows:
        found[batch_id, reason].append(enrolment_id)
    return found


def _keep(connection: Connection, chosen: sa.ColumnElement[bool], now: Micros) -> None:
    """The others are asked in five minutes at the earliest; a batch of which nobody is left is over."""
    ready = t.batch.update().where(chosen, t.batch.c.state == "ready")
    somebody = sa.exists().where(t.send.c.batch_id == t.batch.c.id, t.send.c.outcome.is_(None))
    connection.execute(ready.where(somebody).values(ask_at=now + KEEPS))
    connection.execute(ready.where(sa.not_(somebody)).values(state="withdrawn", settled_at=now))

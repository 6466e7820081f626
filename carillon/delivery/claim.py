"""The claim: the durable word that a batch is ours, said before its first byte leaves.

One transaction for many batches. Who left, lost consent or address or was suppressed since the bodies were built falls
out here; the rows of the others are handed over at once after the commit. What core says is read in this transaction:
a withdrawal committed before the claim begins is obeyed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.consent.expressions import allowed_sql, closed_by_sql
from carillon.delivery.model import EXITED, LEASE, Built, Claimed, Needs, skipped, window_of
from carillon.delivery.pace import paces
from carillon.delivery.parting import among, make_due_again, not_sent_again, open_people, part, unleased
from carillon.delivery.slower import slowed
from carillon.delivery.take import is_due, may_go
from carillon.kernel.channels import INVALID_ADDRESS, OURS, SUPPRESSED, Channel
from carillon.kernel.clock import Clock, Micros
from carillon.kernel.crash import crash_point
from carillon.policy.decide import address_of
from carillon.store.packed import SEPARATOR, packed, unpacked
from carillon.store.stretch import by_stretch, in_stretch
from carillon.store.tables import attempt, batch, contact, enrolment, send, standing

RELEASED = "released"
"""Not an outcome: the address changed, or the channel closed where there are others, so the person is due again."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A built batch that a connector has a free place for."""

    built: Built
    worker: str
    campaign_clock: Clock
    machine_clock: Clock


_THESE = batch.c.id.in_(sa.bindparam("ids", expanding=True))

_Person = Sequence[Any]
"""(batch, enrolment, address, the outcome that stands against handing over), as of now."""


def claim(connection: Connection, offers: Sequence[Offer]) -> list[Claimed | None]:
    """Claim these batches; None for one that is no longer ours or due. One with no rows left was closed on the spot."""
    first = offers[0]
    now, machine_now = first.campaign_clock.now(), first.machine_clock.now()
    agreed = paces(connection)
    same = [o.built.batch.id for o in offers if o.built.batch.pace == agreed.get(o.built.batch.connector)]
    won = _win(connection, same, first.worker, now, machine_now)
    crash_point("in_claim")
    ours = [offer.built for offer in offers if offer.built.batch.id in won]
    unchanged = _unchanged(connection, ours)
    people = _standing_now(connection, [built for built in ours if built.batch.id not in unchanged])
    slow = slowed(connection, machine_now, {built.batch.connector for built in ours})
    claimed: dict[int, Claimed] = {}
    for built in ours:
        brake = slow[built.batch.connector].per_minute if built.batch.connector in slow else None
        rows, drops = unchanged.get(built.batch.id) or _choose(built, people[built.batch.id])
        dropped = _cut(connection, built, rows, drops, now, window_of(brake))
        lease = machine_now + LEASE
        claimed[built.batch.id] = Claimed(built, rows, first.worker, machine_now, lease, 0, dropped, brake)
    numbers = _write_attempts(connection, [c.id for c in claimed.values() if c.rows], machine_now)
    numbered = {id_: replace(c, attempt=numbers.get(id_, 0)) for id_, c in claimed.items()}
    return [numbered.get(offer.built.batch.id) for offer in offers]


def _win(connection: Connection, ids: Sequence[int], worker: str, now: Micros, machine_now: Micros) -> set[int]:
    said = {"ids": ids, "its_worker": worker, "now": now, "machine_now": machine_now, "until": machine_now + LEASE}
    return set(connection.execute(_winning(), said).scalars())


@cache
def _winning() -> sa.Executable:
    # Made once: to build a statement anew takes longer than to carry it out.
    now, machine_now, until = (sa.bindparam(name, type_=sa.BigInteger) for name in ("now", "machine_now", "until"))
    mine = sa.and_(_THESE, batch.c.worker == sa.bindparam("its_worker"), is_due(now, machine_now), may_go(machine_now))
    lease = {"claimed_at": now, "begun_at": machine_now, "lease_until": until, "retry_at": None}
    return sa.update(batch).where(mine).values(state="claimed", **lease).returning(batch.c.id)


_Chosen = tuple[Sequence[int], Mapping[str, Sequence[int]]]
"""The rows of the parcel that go out, and by outcome the people who do not."""


def _unchanged(connection: Connection, batches: Sequence[Built]) -> dict[int, _Chosen]:
    """Of batches whose people are those of the parcel at the same addresses: who of them is closed by now."""
    found: dict[int, _Chosen] = {}
    by_id = {built.batch.id: built for built in batches}
    for (channel, needs), ids in _alike(batches).items():
        digests = by_stretch(connection, ids, partial(_digest, channel, needs))
        for batch_id, enrolments, addresses, closed in digests:
            built = by_id[batch_id]
            if enrolments == sum(built.enrolments) and addresses == SEPARATOR.join(built.addresses):
                found[batch_id] = _without(built, unpacked(closed))
    return found


def _without(built: Built, closed: Sequence[str]) -> _Chosen:
    if not closed:
        return range(len(built.enrolments)), {}
    drops: dict[str, list[int]] = defaultdict(list)
    for enrolment_id, _, outcome in (one.partition(" ") for one in closed):
        drops[outcome].append(int(enrolment_id))
    gone = set(chain.from_iterable(drops.values()))
    return [row for row, enrolment_id in enumerate(built.enrolments) if enrolment_id not in gone], drops


@cache
def _digest(channel: Channel, needs: Needs, is_near: bool) -> sa.Select[tuple[int, int, str, str | None]]:
    """Of each batch its people and addresses, short enough to compare, and in full only who is closed and why."""
    e, closed = send.c.enrolment_id, why_not(channel, needs)
    exception = sa.case((closed.is_not(None), sa.cast(e, sa.String).concat(" ").concat(closed)))
    digest = (
        send.c.batch_id,
        sa.cast(sa.func.sum(e), sa.BigInteger),
        packed(sa.func.coalesce(address_of(channel), ""), e),
    )
    return _of_people(*digest, packed(exception, e), is_near=is_near).group_by(send.c.batch_id)


def _standing_now(connection: Connection, batches: Sequence[Built]) -> Mapping[int, Sequence[_Person]]:
    """The open people of each batch in ascending order, with the address and the reason against them as of now."""
    people: dict[int, list[_Person]] = {built.batch.id: [] for built in batches}
    for (channel, needs), ids in _alike(batches).items():
        for person in connection.execute(_standing_select(channel, needs), {"ids": ids}):
            people[person[0]].append(person)
    return people


def _alike(batches: Sequence[Built]) -> Mapping[tuple[Channel, Needs], list[int]]:
    alike: dict[tuple[Channel, Needs], list[int]] = defaultdict(list)
    for built in batches:
        alike[built.batch.channel, built.needs].append(built.batch.id)
    return alike


@cache
def _standing_select(channel: Channel, needs: Needs) -> sa.Select[tuple[int, int, str | None, str | None]]:
    columns = (send.c.batch_id, send.c.enrolment_id, address_of(channel), why_not(channel, needs))
    return _of_people(*columns).order_by(send.c.batch_id, send.c.enrolment_id)


def _of_people(*columns: sa.ColumnElement[Any], is_near: bool = False) -> sa.Select[Any]:
    """What is asked of the open people of batches, `ids`."""
    people: sa.FromClause = send
    for column, its, ends in (
        (enrolment.c.id, send.c.enrolment_id, "enrolment"),
        (contact.c.id, send.c.contact_id, "contact"),
        (standing.c.contact_id, send.c.contact_id, "contact"),
    ):
        where = sa.and_(column == its, in_stretch(column, ends)) if is_near else column == its
        people = people.outerjoin(column.table, where)
    mine = send.c.batch_id.in_(sa.bindparam("ids", expanding=True))
    return sa.select(*columns).select_from(people).where(mine, send.c.outcome.is_(None))


def why_not(channel: Channel, needs: Needs) -> sa.ColumnElement[str | None]:
    """The outcome of a person who may not be written to any more, else NULL; whoever has no standing has no consent."""
    left = sa.and_(enrolment.c.state == "done", enrolment.c.exit_code != "finished")
    if channel in OURS:
        return sa.case((left, EXITED), (contact.c.erased_at.is_not(None), skipped("no_address")))

    def closed(reason: str) -> str:
        return RELEASED if needs.is_one_of_several else skipped(reason)

    return sa.case(
        (left, EXITED),
        (contact.c.erased_at.is_not(None), skipped("no_address")),
        (closed_by_sql(INVALID_ADDRESS, channel), closed("invalid_address")),
        (address_of(channel).is_(None), closed("no_address")),
        (closed_by_sql(SUPPRESSED, channel), closed("suppressed")),
        (sa.func.coalesce(allowed_sql(needs.topic, channel, needs.kind), sa.false()), None),
        else_=closed("no_consent"),
    )


def _cut(
    connection: Connection, built: Built, rows: Sequence[int], drops: Mapping[str, Sequence[int]], now: Micros, window: int
) -> Mapping[str, int]:  # fmt: skip
    batch_id = built.batch.id
    for outcome, enrolments in drops.items():
        if built.batch.resend_at is not None:
            _not_again(connection, batch_id, outcome, enrolments, now)
        elif outcome == RELEASED:
            make_due_again(connection, batch_id, among(enrolments))
        else:
            connection.execute(sa.update(send).where(open_people(batch_id), among(enrolments)).values(outcome=outcome))
    if not rows:
        _write(connection, batch_id, unleased() | {"state": "withdrawn", "settled_at": now})
    elif not built.whole:
        _write(connection, batch_id, {"begun_through": built.enrolments[rows[:window][-1]]})
    return Counter({outcome: len(enrolments) for outcome, enrolments in drops.items()})


def _write(connection: Connection, batch_id: int, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(batch).where(batch.c.id == batch_id).values(**values))


def _not_again(connection: Connection, batch_id: int, outcome: str, enrolments: Sequence[int], now: Micros) -> None:
    """Who may have the message already, and gets it no second time, stays unsure; at a new address it is asked anew."""
    if outcome == RELEASED:
        part(connection, batch_id, among(enrolments), "unsure", **unleased())
    else:
        note = not_sent_again(outcome.removeprefix("skipped:"))
        part(connection, batch_id, among(enrolments), "closed", note=note, settled_at=now, lease_until=None)


def _choose(built: Built, people: Sequence[_Person]) -> _Chosen:
    row_of = {enrolment_id: row for row, enrolment_id in enumerate(built.enrolments)}
    rows: list[int] = []
    drops: dict[str, list[int]] = defaultdict(list)
    for _, enrolment_id, address, closed in people:
        row = row_of.get(enrolment_id)
        if closed is None and row is not None and built.addresses[row] == address:
            rows.append(row)
        else:
            drops[closed or built.skips.get(enrolment_id, RELEASED)].append(enrolment_id)
    return rows, drops


def _write_attempts(connection: Connection, ids: Sequence[int], machine_now: Micros) -> Mapping[int, int]:
    """The row of each hand-over, written before it begins; its number by batch."""
    rows = connection.execute(_attempts(), {"ids": ids, "machine_now": machine_now}) if ids else ()
    return {row.batch_id: row.no for row in rows}


@cache
def _attempts() -> sa.Executable:
    earlier = sa.select(sa.func.coalesce(sa.func.max(attempt.c.no), 0)).where(attempt.c.batch_id == batch.c.id)
    number, began_at = (earlier.scalar_subquery() + 1).label("no"), sa.bindparam("machine_now", type_=sa.BigInteger)
    begun = sa.select(batch.c.id, number, began_at, sa.literal("begun")).where(_THESE)
    names = ["batch_id", "no", "began_at", "status"]
    return sa.insert(attempt).from_select(names, begun).returning(attempt.c.batch_id, attempt.c.no)

"""Stage 7, reserve: one decision for everybody who is due, written as sends in ready batches, or with their reason.

Nobody is reserved before due. The whole workspace is decided in one pass under one lock, best priority first, so that
no limit across campaigns can be passed by two campaigns at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from carillon.delivery.abreast import abreast
from carillon.delivery.ahead import ahead
from carillon.delivery.desk import Desk, Reserved
from carillon.delivery.slices import SLICE, Slice, slices
from carillon.delivery.turns import take_pass
from carillon.journey.ground import Ground
from carillon.kernel.channels import shared_bit
from carillon.plan.model import MessageNode, Plan
from carillon.policy.coupons import pool_of, settle_codes
from carillon.store import tables as t
from carillon.store.engine import Store
from carillon.store.staging import weigh_roughly

MANY = 10_000
"""So many new sends a planner should know of."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """How one pass goes through the people: in slices, each a transaction of its own."""

    max_people: Mapping[str, int]
    slice_people: int
    told: Callable[[int], None]
    stopping: Callable[[], bool]


def reserve(
    grounds: Iterable[Ground],
    *,
    max_people: Mapping[str, int],
    slice_people: int = SLICE,
    told: Callable[[int], None] = lambda decided: None,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, list[Reserved]]:
    """Decide everybody due in these campaigns; returns campaign → what was decided a message.

    `max_people` says how many one request of each connector takes. Each slice of `slice_people` is a transaction of its
    own, of which `told` hears when it is written; once `stopping` says so no further slice begins.
    """
    its, done = _Pass(max_people, slice_people, told, stopping), dict[str, list[Reserved]]()
    for ground in sorted(grounds, key=lambda g: (-g.applied.plan.priority, g.applied.name)):
        for version_id, plan in ground.applied.versions.items():
            for node in plan.ways:
                result = _reserve_node(ground, version_id, plan, node, its)
                if result.decided:
                    done.setdefault(ground.applied.name, []).append(result)
    return done


def _reserve_node(ground: Ground, version_id: int, plan: Plan, node: MessageNode, its: _Pass) -> Reserved:
    result, weighed = Reserved(node.id), 0
    for told in _decided(ground, version_id, plan, node, its):
        result.add(told)
        weighed = _weighed(ground.store, result.decided, weighed)
        its.told(told.decided)
        if its.stopping():
            break
    return result


def _decided(ground: Ground, version_id: int, plan: Plan, node: MessageNode, its: _Pass) -> Iterator[Reserved]:
    """Decide whoever is due at the message; told after each slice, and nothing further is begun where nobody asks on."""
    found = _slices(ground, version_id, node, its)
    pool = pool_of(ground.applied.plan, node)
    if found and pool is not None:
        with ground.store.write("ledger") as connection:
            take_pass(connection)
            settle_codes(connection, {pool})
    desk = Desk(ground, version_id, plan, node, its.max_people)
    if len(found) > 1 and _is_apart(ground.store, desk):
        at_once = ahead if ground.store.runs_here else abreast
        yield from at_once(ground.store, found, lambda: Desk(ground, version_id, plan, node, its.max_people))
        found = _slices(ground, version_id, node, its) if _shares_addresses(ground.store, node) else []
    for one in found:
        with ground.store.write("ledger") as connection:
            take_pass(connection)
            told = desk.decide(connection, one)
        yield told


def _slices(ground: Ground, version_id: int, node: MessageNode, its: _Pass) -> list[Slice]:
    with ground.store.read() as connection:
        return [] if its.stopping() else slices(connection, ground, version_id, node, its.slice_people)


def _is_apart(store: Store, desk: Desk) -> bool:
    """No limit binds two people of this message together, but for an address that they share: slices need not see what
    others decide.
    """
    with store.read() as connection:
        question = desk.question(connection)
    limits = question.limits
    return (limits.once_a_person or not limits.caps) and question.purse is None and question.stock is None


def _shares_addresses(store: Store, node: MessageNode) -> bool:
    """Somebody's address on the message's channel may be another's, too: those are left for a turn of their own."""
    if node.is_ours:
        return False
    shares = t.standing.c.shared_bits.bitwise_and(shared_bit(node.channel)) != 0
    with store.read() as connection:
        return bool(connection.scalar(sa.select(sa.exists(sa.select(t.standing.c.contact_id).where(shares)))))


def _weighed(store: Store, decided: int, weighed: int) -> int:
    """Of how many sends the planner knows, now that so many were decided."""
    if store.runs_here or decided < max(MANY, 2 * weighed):
        return weighed
    with store.write("ledger") as connection:
        weigh_roughly(connection, "ledger.send")
    return decided

"""PostgreSQL works on as many cores as there are connections that ask: slices are decided two at a time.

Only where what is decided of one person says nothing of another: else the second slice has to see the first.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.delivery.slices import Slice
from carillon.delivery.turns import shared_pass, work_under
from carillon.kernel.channels import shared_bit
from carillon.plan.model import MessageNode
from carillon.policy.decide import Question
from carillon.store import tables as t
from carillon.store.engine import Store

ABREAST = 2
"""More would wait for each other at the log and at the ends of the indexes."""


def is_apart(question: Question) -> bool:
    """No limit binds two people of this message together, but for an address that they share."""
    limits = question.limits
    return (limits.once_a_person or not limits.caps) and question.purse is None and question.stock is None


def shares_addresses(connection: Connection, node: MessageNode) -> bool:
    """Somebody's address on the message's channel may be another's, too: those are left for a turn of their own."""
    if node.is_ours:
        return False
    shares = t.standing.c.shared_bits.bitwise_and(shared_bit(node.channel)) != 0
    return bool(connection.scalar(sa.select(sa.exists(sa.select(t.standing.c.contact_id).where(shares)))))


def rounds(store: Store, found: Sequence[Slice], decide: Callable[[Connection, int, Slice], None]) -> Iterator[None]:
    """Decide the slices, ABREAST of them at once, each in a transaction of its own; yields behind each round.

    `decide` is told its lane, which nobody else has at that time. Another pass may come between two rounds.
    """
    with ThreadPoolExecutor(ABREAST, "abreast") as lanes:
        for begin in range(0, len(found), ABREAST):
            together = found[begin : begin + ABREAST]
            with shared_pass(store) as holder:
                running = [
                    lanes.submit(contextvars.copy_context().run, _decide, store, holder, decide, lane, one)
                    for lane, one in enumerate(together)
                ]
                wait(running)  # nobody may write any more once the turn is given back
                for each in running:
                    each.result()
            yield


def _decide(
    store: Store, holder: int, decide: Callable[[Connection, int, Slice], None], lane: int, one: Slice
) -> None:  # fmt: skip
    with store.write("ledger") as connection:
        work_under(connection, holder)
        decide(connection, lane, one)

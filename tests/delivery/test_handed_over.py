"""Batches that are done with are told of by one thread and taken by another, so many people at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue

from carillon.delivery.handed_over import HandedOver


def test_batches_are_taken_in_their_order_so_many_people_at_a_time() -> None:
    told = HandedOver()
    for batch_id in range(1, 6):
        told.tell(7 if batch_id % 2 else 8, batch_id, 10)
    assert told.take(30) == {7: [1, 3], 8: [2]}
    assert told.take(15) == {8: [4], 7: [5]}


def test_whoever_takes_waits_until_there_are_so_many_or_until_the_end() -> None:
    told, taken = HandedOver(), SimpleQueue[Mapping[int, Sequence[int]]]()

    def take() -> None:
        while batches := told.take(20):
            taken.put(batches)

    taker = threading.Thread(target=take)
    taker.start()
    told.tell(7, 1, 10)
    told.tell(7, 2, 10)
    assert taken.get(timeout=10) == {7: [1, 2]}
    told.tell(7, 3, 10)
    told.end()
    taker.join(10)
    assert not taker.is_alive()
    assert taken.empty()  # the last one is left to whoever comes behind the end

"""Writers of one process stand in line."""

from __future__ import annotations

import threading
import time

from carillon.store.engine import Store
from carillon.store.line import Line


def test_who_came_first_is_served_first() -> None:
    line, served, threads = Line(), list[int](), list[threading.Thread]()
    with line.turn():
        for number in range(5):
            threads.append(threading.Thread(target=_serve, args=(line, served, number)))
            threads[-1].start()
            while len(line) < number + 1:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 4]


def test_whoever_writes_again_and_again_lets_the_others_write_between(sqlite_store: Store) -> None:
    """A second writer is through after one more turn of the first, however often that one comes again."""
    begun, over, turns = threading.Event(), threading.Event(), [0]

    def write_all_the_time() -> None:
        while not over.is_set():
            with sqlite_store.write("ledger"):
                turns[0] += 1
                begun.set()
                time.sleep(0.02)

    busy = threading.Thread(target=write_all_the_time)
    busy.start()
    begun.wait()
    before = turns[0]
    with sqlite_store.write("ledger"):
        waited = turns[0] - before
    over.set()
    busy.join()
    assert waited <= 1


def test_what_fails_at_the_front_lets_the_next_one_go() -> None:
    line = Line()
    try:
        with line.turn():
            raise ValueError
    except ValueError:
        pass
    with line.turn():
        assert len(line) == 0


def _serve(line: Line, served: list[int], number: int) -> None:
    with line.turn():
        served.append(number)

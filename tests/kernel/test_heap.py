"""What a long-running process does with memory that is free again."""

from __future__ import annotations

import gc
import weakref

from carillon.kernel.heap import GIVEN_BACK_AFTER, FreedMemory, rare_collections


class Ring:
    """Holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_rings_are_let_go_after_so_many_people_and_not_before() -> None:
    """Counted over all calls, again and again; what was there before is not looked through."""
    with rare_collections():
        freed = FreedMemory()
        for _ in range(2):
            ring = weakref.ref(Ring())
            freed.after(GIVEN_BACK_AFTER - 1)
            assert ring() is not None
            freed.after(1)
            assert ring() is None


def test_what_was_set_aside_is_looked_through_again_afterwards() -> None:
    before, ring = gc.get_threshold(), weakref.ref(Ring())
    with rare_collections():
        gc.collect()
        assert ring() is not None
    gc.collect()
    assert (ring(), gc.get_threshold(), gc.get_freeze_count()) == (None, before, 0)

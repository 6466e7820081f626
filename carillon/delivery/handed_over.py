"""Batches that are done with while others still leave: what hands over tells whoever lets their people go on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence


class HandedOver:
    """Told by the event loop that hands over; taken by the thread that lets people go on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._batches: deque[tuple[int, int, int]] = deque()
        self._people = 0
        self._is_over = False

    def tell(self, node_id: int, batch_id: int, people: int) -> None:
        """A batch of a message was claimed, and nothing more is done with it for now."""
        with self._changed:
            self._batches.append((node_id, batch_id, people))
            self._people += people
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more is handed over; who was not taken by now goes on as after any hand-over."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def take(self, people: int) -> Mapping[int, Sequence[int]]:
        """Node → its batches, of so many people in all; waits for them, and is empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._people >= people)
            taken: dict[int, list[int]] = {}
            while people > 0 and not self._is_over:
                node_id, batch_id, its_people = self._batches.popleft()
                taken.setdefault(node_id, []).append(batch_id)
                self._people -= its_people
                people -= its_people
            return taken

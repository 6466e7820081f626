"""Batches that are still being made ready while the first of them leave: what decides tells what hands over, and is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

from carillon.delivery.handed_over import HandedOver


class Supply:
    """Told by the thread that decides; heard by the event loop that hands over."""

    def __init__(self, people: int = 0) -> None:
        self.people = people
        """About how many are to come."""
        self._lock = threading.Lock()
        self._wake: Callable[[], object] = _nobody
        self._is_over = False
        self.is_wanted = True
        """Whoever hands over is still there; nothing more needs to be made ready once it is not."""
        self.handed_over = HandedOver()

    @property
    def goes_on(self) -> bool:
        """More may still become ready."""
        return not self._is_over

    def heard_by(self, wake: Callable[[], object]) -> None:
        """Call `wake` (from any thread) whenever something became ready, and at the end."""
        with self._lock:
            self._wake = wake

    def nobody_hears(self) -> None:
        """Who handed over has gone: nobody is to be woken any more."""
        self.heard_by(_nobody)

    def more(self) -> None:
        """Something has become ready."""
        with self._lock:
            self._wake()

    def end(self) -> None:
        """Nothing more becomes ready."""
        self._is_over = True
        self.more()


def _nobody() -> None:
    return None

"""A hand-over's progress bar in the UI, and what happens where the server is away: nothing that a hand-over would feel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

SHOWN_EVERY_S = 1.0
PATIENCE_S = 5.0
"""So long the end of a hand-over waits for its bar to be shown full."""
AWAY = (httpx.HTTPError, PrefectException, OSError, RuntimeError)
"""What a client of Prefect's raises where the server is away or at its limit, after a minute of trying again."""
Shown = TypeVar("Shown")


def shown(what: str, show: Callable[[], Shown]) -> Shown | None:
    """What showing returns; None, and a line in the log, where the server is away."""
    try:
        return show()
    except AWAY as fault:
        get_run_logger().warning("Prefect did not take %s: %s", what, type(fault).__name__)
        return None


class Bar:
    """Moved from a thread of its own: who hands over never waits for the server, or answers of providers would come late."""

    def __init__(self, title: str, expected: int) -> None:
        self._title, self._expected = title, expected
        self._percent = 0.0
        self._is_over = threading.Event()
        # The thread takes this run's context along: the artifact belongs to it.
        self._thread = threading.Thread(target=copy_context().run, args=(self._keep_showing,), daemon=True)
        self._thread.start()

    def move(self, done: int) -> None:
        """So many people have theirs."""
        self._percent = min(100.0, 100.0 * done / self._expected) if self._expected else 100.0

    def end(self) -> None:
        """The hand-over is over, and the bar stays where it is."""
        self._is_over.set()
        self._thread.join(PATIENCE_S)

    def _keep_showing(self) -> None:
        shown("the progress", self._show)

    def _show(self) -> None:
        artifact = create_progress_artifact(progress=0.0, description=self._title)
        there, is_over = 0.0, False
        while not is_over:
            is_over = self._is_over.wait(SHOWN_EVERY_S)
            if there != (there := self._percent):
                update_progress_artifact(artifact, progress=there)  # type: ignore[arg-type, unused-coroutine]

"""Being asked to stop: SIGTERM and Ctrl-C end the work between two batches, never in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def asked_to_stop(tell: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """While the body runs SIGTERM and Ctrl-C are only noted; it asks what is yielded, and ends when it can.

    `tell` is called at the first signal. A second Ctrl-C interrupts at once: the person at the terminal wants it so.
    Outside the main thread no signal can be noted: there nobody is ever asked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = list[int]()

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in asked:
            raise KeyboardInterrupt
        if not asked:
            tell()
        asked.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

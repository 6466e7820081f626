"""From "somebody asked us to stop", which is a question, to the event that ends a work between two batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

LOOK_EVERY_S = 0.1


@asynccontextmanager
async def stop_when(stopping: Callable[[], bool]) -> AsyncIterator[asyncio.Event]:
    """An event that is set soon after `stopping` says yes; a work that waits for its pace is woken by it."""
    stop = asyncio.Event()
    looking = asyncio.create_task(_look(stopping, stop))
    try:
        yield stop
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _look(stopping: Callable[[], bool], stop: asyncio.Event) -> None:
    while not stopping():  # noqa: ASYNC110 - a signal handler runs outside the loop, and is only asked
        await asyncio.sleep(LOOK_EVERY_S)
    stop.set()

"""The process that only builds bodies: it is told which batches, reads the store itself, and answers with parcels.

A command of its own and no fork, as the one that reads files ahead (`people/reading_ahead`). Whatever it cannot do it
leaves to the one who asked, who can build, too.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from carillon.delivery.bodies import BUILDERS, Bodies
from carillon.delivery.model import Built, ReadyBatch
from carillon.delivery.parcels import Unbuilt
from carillon.delivery.protocol import Maker
from carillon.kernel.clock import Micros, VirtualClock
from carillon.kernel.heap import FreedMemory, keep_freed_memory, rare_collections
from carillon.kernel.tokens import Keyring
from carillon.plan.rules import Rules
from carillon.store.engine import Store


@dataclass(frozen=True, slots=True)
class Place:
    """What bodies are built from; it holds keys, so it travels by the pipe alone."""

    url: str
    makers: Mapping[str, Maker]
    rules: Rules
    keyring: Keyring


@dataclass(frozen=True, slots=True)
class Asked:
    """Batches to build, as of an instant of the campaign's clock."""

    now: Micros
    batches: Sequence[ReadyBatch]


Answer = Sequence[Built | Unbuilt] | None
"""One answer a batch, in their order; None: nothing can be said of them here."""


def serve() -> None:
    """In the second process: build what is asked for until nobody asks any more. The first answer says that it can."""
    keep_freed_memory()
    asked, told, freed = sys.stdin.buffer, sys.stdout.buffer, FreedMemory()
    place: Place = pickle.load(asked)
    clock = VirtualClock()
    bodies = Bodies(Store(place.url), place.makers, place.rules, place.keyring, clock)
    with rare_collections(), ThreadPoolExecutor(BUILDERS) as builders, ThreadPoolExecutor(1) as teller:
        teller.submit(tell, told, [])
        with suppress(EOFError):
            while True:
                wanted: Asked = pickle.load(asked)
                clock.at = wanted.now
                teller.submit(_tell_built, told, builders.submit(_built, bodies, wanted.batches))
                freed.after(sum(batch.n for batch in wanted.batches))
        os._exit(0)  # who asked has gone, and waits for nothing


def tell(stream: IO[bytes], what: object) -> None:
    """Into the pipe, at once."""
    pickle.dump(what, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _tell_built(stream: IO[bytes], building: Future[Answer]) -> None:
    tell(stream, building.result())


def _built(bodies: Bodies, batches: Sequence[ReadyBatch]) -> Answer:
    try:
        return bodies.build(batches)
    except Exception:  # it is raised where it is asked once more, to whoever hands over
        return None

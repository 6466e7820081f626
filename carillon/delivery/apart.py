"""Bodies from a process of their own, so that whoever writes the ledger never waits for the interpreter because of them.

To render takes a third of the CPU of a hand-over, and the interpreter with it; on SQLite the statements of the ledger ask
for the interpreter, too, with every row. Where there is no such process, or no more, bodies are built here.
"""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

from carillon.delivery.bodies import Bodies
from carillon.delivery.building import Answer, Asked, Place, tell
from carillon.delivery.model import Built, ReadyBatch
from carillon.delivery.parcels import BodyBuilder, Unbuilt
from carillon.delivery.protocol import Connector, MadeApart, Maker
from carillon.kernel.clock import Clock
from carillon.kernel.tokens import Keyring
from carillon.plan.rules import Rules
from carillon.store.engine import Store

log = logging.getLogger(__name__)

MANY = 200_000
"""From so many people on: to start it takes what it saves of 100,000."""
AT_HAND_S = 10.0
"""So long the first bodies wait for the process to be there. To build them here meanwhile would fill the memory of both."""
_AT_FIRST = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    "; from carillon.kernel.collecting import collect_rarely; collect_rarely()"
)
"""Ctrl-C is the first process's to answer; and imports are no garbage."""
_COMMAND = (sys.executable, "-c", f"{_AT_FIRST}; from carillon.delivery.building import serve; serve()")
_PIPE = 1 << 20
"""Bytes that wait in the pipe: a batch of a thousand people has nearly as many."""
_ONLY = Lock()
"""One such process: of campaigns that are advanced side by side, the first has it."""


def makers_of(connectors: Mapping[str, Connector]) -> dict[str, Maker]:
    """Of the connectors whose parcels may be made elsewhere, who makes them there."""
    return {name: connector.apart() for name, connector in connectors.items() if isinstance(connector, MadeApart)}


@contextmanager
def built_apart(
    here: Bodies, store: Store, makers: Mapping[str, Maker], rules: Rules, keyring: Keyring, clock: Clock
) -> Iterator[BodyBuilder]:
    """Bodies by those makers from a second process for the length of the block, all others from `here`."""
    if not makers or not _ONLY.acquire(blocking=False):
        yield here
        return
    try:
        process = _started()
        if process is None:
            yield here
            return
        apart = BodiesApart(here, process, Place(store.url, makers, rules, keyring), clock)
        try:
            yield apart
        finally:
            apart.close()
    finally:
        _ONLY.release()


def _started() -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=_PIPE)
    except OSError as error:  # too many processes, or less of a pipe than that
        log.warning("no process could be started that builds bodies (%s): they are built here", error)
        return None


class BodiesApart:
    """Asks the second process in the order of the calls; a thread of its own hears the answers."""

    def __init__(self, here: Bodies, process: subprocess.Popen[bytes], place: Place, clock: Clock) -> None:
        assert process.stdin
        assert process.stdout
        self._asked, self._told = process.stdin, process.stdout
        self._here, self._process, self._makers, self._clock = here, process, place.makers, clock
        self._asking = Lock()
        self._waiting: deque[Future[Answer]] = deque()
        self._is_there, self._is_gone, self._is_over = Event(), False, False
        self._tell(place)
        self._hearing = Thread(target=self._hear, name="bodies-apart", daemon=True)
        self._hearing.start()

    def build(self, batches: Sequence[ReadyBatch]) -> Sequence[Built | Unbuilt]:
        """One answer a batch, in their order; from here where the process has none."""
        is_its = all(batch.connector in self._makers for batch in batches)
        if not self._is_there.wait(AT_HAND_S):
            self._process.kill()  # nobody waits for it again
        answer = self._ask(batches) if is_its else None
        return self._here.build(batches) if answer is None else answer

    def _ask(self, batches: Sequence[ReadyBatch]) -> Answer:
        waiting: Future[Answer] = Future()
        with self._asking:
            if self._is_gone:
                return None
            self._waiting.append(waiting)
            self._tell(Asked(self._clock.now(), batches))
        return waiting.result()

    def _tell(self, what: Place | Asked) -> None:
        with suppress(BrokenPipeError):  # it died: who hears it learns of that
            tell(self._asked, what)

    def _hear(self) -> None:
        try:
            pickle.load(self._told)
            self._is_there.set()
            while True:
                answer = pickle.load(self._told)
                self._waiting.popleft().set_result(answer)
        except Exception:  # at the end of an answer, within one, or one that cannot be read: nobody waits for ever
            self._let_go()

    def _let_go(self) -> None:
        if not self._is_over:
            log.warning("the process that builds bodies has ended: is there enough memory? They are built here now")
        with self._asking:
            self._is_gone = True
        for waiting in self._waiting:
            waiting.set_result(None)
        self._is_there.set()

    def close(self) -> None:
        """The process ends; whoever still waits for an answer has none."""
        self._is_over = True
        self._process.kill()  # it only reads
        self._process.wait()
        self._hearing.join()
        self._told.close()
        with suppress(BrokenPipeError):
            self._asked.close()

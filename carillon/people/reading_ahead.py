"""A second process that reads a file ahead of whoever writes it: chunk by chunk, packed, through a pipe.

Where SQLite is below, events come as whole commits, which it has staged (`people.sent`).

It is a command of its own and no fork of ours: it imports what reading needs (a fifth of what we do), has none of our
connections, and ends with its pipe when we are killed.
"""

from __future__ import annotations

import gc
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

from carillon.people.files import RowFile, UnreadableFileError
from carillon.people.gathering import Commits, together
from carillon.people.reading import Read
from carillon.people.sent import Sent, Staging
from carillon.people.shapes import ImportShape, read_chunk

AHEAD = 125
"""Chunks that wait, read, for the writer."""
COMMITS_AHEAD = 1
"""Staged ones that wait: thirty megabytes each."""
_COMMAND = (sys.executable, "-c", "from carillon.people.reading_ahead import serve; serve()")
_SIZE = 8
"""Bytes that say how long the piece behind them is."""
_END = b""


class ReaderDiedError(Exception):
    """The process that read the file ended before the file did."""


@contextmanager
def reading_ahead(
    file: RowFile,
    shape: ImportShape,
    rows_done: int,
    commits: Commits | None = None,
    known: Callable[[], Mapping[str, int]] = dict,
) -> Iterator[Iterator[Read[Any]]]:
    """The chunks behind the first `rows_done` rows, read by a second process that begins at once; with `commits` they
    are staged events of one commit each, of `known` customers (asked while it starts) by our number.
    """
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    waiting: Queue[bytes] = Queue(2 * COMMITS_AHEAD if commits else AHEAD)
    receiver: Thread | None = None
    try:
        asked = (file, shape, rows_done, commits, dict(known()))
        receiver = Thread(target=_exchange, args=(process.stdin, asked, process.stdout, waiting), daemon=True)
        receiver.start()
        yield _arrived(waiting)
    finally:
        process.kill()
        process.wait()
        while receiver and receiver.is_alive():
            with suppress(Empty):
                waiting.get(timeout=0.01)
        process.stdin.close()
        process.stdout.close()


def _exchange(asks: IO[bytes], asked: tuple[Any, ...], answers: IO[bytes], waiting: Queue[bytes]) -> None:
    try:
        with suppress(BrokenPipeError), asks:  # it died: that is told by what it does not send
            pickle.dump(asked, asks)
        _receive(answers, waiting)
    finally:
        waiting.put(_END)


def _receive(stream: IO[bytes], waiting: Queue[bytes]) -> None:
    while size := int.from_bytes(stream.read(_SIZE), "big"):
        piece = stream.read(size)
        if len(piece) < size:  # it was killed while it sent
            break
        waiting.put(piece)


def _arrived(waiting: Queue[bytes]) -> Iterator[Read[Any]]:
    shop_ids: list[str] = []
    while piece := waiting.get():
        match pickle.loads(piece):
            case Read(rows=Sent() as sent) as read:
                shop_ids = [] if sent.is_numbered_anew else shop_ids
                sent.received(shop_ids, waiting.get())
                if not sent.database:
                    break
                yield read
            case Read() as read:
                yield read
            case UnreadableFileError() as error:
                raise error
            case None:
                return
    raise ReaderDiedError("the process that reads the file has ended: is there enough memory?")


def serve() -> None:
    """In the second process: read what was asked for into the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer
    gc.disable()
    file, shape, rows_done, commits, known = pickle.load(sys.stdin.buffer)
    reads = _behind(file, shape, rows_done)
    with suppress(BrokenPipeError):
        try:
            for read in _staged(reads, Staging(shape.event, known), commits) if commits else reads:
                _send(read)
        except UnreadableFileError as error:
            _send(error)
        else:
            _send(None)


def _behind(file: RowFile, shape: ImportShape, rows_done: int) -> Iterator[Read[Any]]:
    return (read_chunk(shape, chunk) for chunk in file.chunks() if chunk.first > rows_done)


def _staged(reads: Iterator[Read[Any]], staging: Staging, commits: Commits) -> Iterator[Read[Any]]:
    """The same as whole commits, their rows staged."""
    held, broken = list[Read[Any]](), None
    try:
        for read in reads:
            staging.add(read.rows)
            held.append(replace(read, rows=[]))
            if commits.is_full_with(read):
                yield _commit(held, staging)
                held = []
    except UnreadableFileError as error:
        broken = error
    if held:  # also before what makes no sense
        yield _commit(held, staging)
    if broken:
        raise broken


def _commit(held: list[Read[Any]], staging: Staging) -> Read[Any]:
    staged: Any = staging.taken()
    return replace(together(held), rows=staged)


def _send(piece: Read[Any] | UnreadableFileError | None) -> None:
    sent = piece.rows if isinstance(piece, Read) and isinstance(piece.rows, Sent) else None
    database = sent.database if sent else b""
    if sent:
        sent.database = b""
    _send_bytes(pickle.dumps(piece, pickle.HIGHEST_PROTOCOL))
    if sent:
        _send_bytes(database)
    sys.stdout.buffer.flush()


def _send_bytes(piece: bytes) -> None:
    sys.stdout.buffer.write(len(piece).to_bytes(_SIZE, "big"))
    sys.stdout.buffer.write(piece)

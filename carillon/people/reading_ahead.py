"""A second process that reads a file ahead of whoever writes it: chunk by chunk, packed, through a pipe.

It is a command of its own and no fork of ours: it imports what reading needs (a fifth of what we do), has none of our
connections, and ends with its pipe when we are killed.
"""

from __future__ import annotations

import gc
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

from carillon.people.files import RowFile, UnreadableFileError
from carillon.people.packing import Columnwise, Numbered, Numbering
from carillon.people.reading import Read
from carillon.people.rows import SHOP_ID
from carillon.people.shapes import ImportShape, read_chunk

AHEAD = 125
"""Chunks that wait, read, for the writer."""
MOST_NUMBERED = 200_000
"""Customers whose ids travel as numbers: where contacts change during an import, all of them are looked up again."""
_COMMAND = (sys.executable, "-c", "from carillon.people.reading_ahead import serve; serve()")
_SIZE = 8
"""Bytes that say how long the piece behind them is."""
_END = b""


class ReaderDiedError(Exception):
    """The process that read the file ended before the file did."""


@contextmanager
def reading_ahead(file: RowFile, shape: ImportShape, rows_done: int) -> Iterator[Iterator[Read[Any]]]:
    """The chunks behind the first `rows_done` rows, read by a second process that begins at once."""
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    waiting: Queue[bytes] = Queue(AHEAD)
    receiver = Thread(target=_receive, args=(process.stdout, waiting), daemon=True)
    receiver.start()
    try:
        with suppress(BrokenPipeError), process.stdin as stream:  # it died: that is told by what it does not send
            pickle.dump((file, shape, rows_done), stream)
        yield _arrived(waiting)
    finally:
        process.kill()
        process.wait()
        while receiver.is_alive():
            with suppress(Empty):
                waiting.get(timeout=0.01)
        process.stdout.close()


def _receive(stream: IO[bytes], waiting: Queue[bytes]) -> None:
    while size := int.from_bytes(stream.read(_SIZE), "big"):
        waiting.put(stream.read(size))
    waiting.put(_END)


def _arrived(waiting: Queue[bytes]) -> Iterator[Read[Any]]:
    shop_ids: list[str] = []
    while piece := waiting.get():
        match pickle.loads(piece):
            case Read() as read:
                _recall(read, shop_ids)
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
    file, shape, rows_done = pickle.load(sys.stdin.buffer)
    shop_ids = Numbering(MOST_NUMBERED)
    with suppress(BrokenPipeError):
        try:
            for chunk in file.chunks():
                if chunk.first > rows_done:
                    _send(_abridged(read_chunk(shape, chunk), shop_ids))
        except UnreadableFileError as error:
            _send(error)
        else:
            _send(None)


def _abridged(read: Read[Any], shop_ids: Numbering) -> Read[Any]:
    """The customers of a file come again and again: each id travels once, and is looked up by its number."""
    if isinstance(read.rows, Columnwise):
        read.rows = shop_ids.numbered(read.rows, SHOP_ID)
    return read


def _recall(read: Read[Any], shop_ids: list[str]) -> None:
    if isinstance(read.rows, Columnwise) and isinstance(sent := read.rows.pieces[SHOP_ID], Numbered):
        read.rows = read.rows.with_piece(SHOP_ID, sent.received(shop_ids))


def _send(piece: Read[Any] | UnreadableFileError | None) -> None:
    dumped = pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)
    sys.stdout.buffer.write(len(dumped).to_bytes(_SIZE, "big"))
    sys.stdout.buffer.write(dumped)
    sys.stdout.buffer.flush()

"""What arrived in the sandbox: one SQLite file, each request's body once, a row a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros

SCHEMA = """
CREATE TABLE IF NOT EXISTS request(
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, channel TEXT NOT NULL, ref TEXT NOT NULL UNIQUE, body BLOB NOT NULL,
  sender TEXT NOT NULL, subject TEXT NOT NULL, words TEXT NOT NULL, categories TEXT NOT NULL,
  planned INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS request_unplanned ON request(id) WHERE planned = 0;
CREATE TABLE IF NOT EXISTS message(
  id INTEGER PRIMARY KEY, request_id INTEGER NOT NULL, n INTEGER NOT NULL, address TEXT NOT NULL, cid TEXT NOT NULL,
  status TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS message_request ON message(request_id);
CREATE TABLE IF NOT EXISTS reaction(
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, message_id INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL,
  told INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS reaction_due ON reaction(at) WHERE told = 0;
CREATE INDEX IF NOT EXISTS reaction_message ON reaction(message_id);
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it came."""

    at: Micros
    channel: Channel
    ref: str
    body: bytes
    sender: str
    subject: str
    words: str
    """Its shared words, lower-cased, for the search in the inbox."""
    categories: str
    """Each between line breaks, so that a whole one is found by LIKE."""


class Store:
    """The sandbox's file. One writer: the server that owns it."""

    def __init__(self, path: Path | str) -> None:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A power cut may cost the sandbox its last messages; nobody waits for them.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        self._db.row_factory = sqlite3.Row

    def has(self, ref: str) -> bool:
        """Whether a request of this id arrived."""
        return self._db.execute("SELECT 1 FROM request WHERE ref = ?", (ref,)).fetchone() is not None

    def keep(self, arrival: Arrival, people: Sequence[tuple[str, str]], status: str) -> None:
        """Store a request and its people (address, cid) in one commit."""
        with self.writing():
            self._db.execute(
                "INSERT INTO request(at, channel, ref, body, sender, subject, words, categories)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    arrival.at,
                    arrival.channel.value,
                    arrival.ref,
                    arrival.body,
                    arrival.sender,
                    arrival.subject,
                    arrival.words,
                    arrival.categories,
                ),
            )
            request_id = self._db.execute("SELECT last_insert_rowid()").fetchone()[0]
            self._db.executemany(
                "INSERT INTO message(request_id, n, address, cid, status) VALUES (?, ?, ?, ?, ?)",
                [(request_id, n, address, cid, status) for n, (address, cid) in enumerate(people)],
            )

    def writing(self) -> _Transaction:
        """A transaction as a `with` block: committed at its end, rolled back by an exception."""
        return _Transaction(self._db)

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a Select."""
        return self._db.execute(sql, args).fetchall()

    def row(self, sql: str, args: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a Select."""
        first: sqlite3.Row | None = self._db.execute(sql, args).fetchone()
        return first

    def write(self, sql: str, args: Sequence[Any] = ()) -> None:
        """One statement."""
        self._db.execute(sql, args)

    def write_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement for many rows."""
        self._db.executemany(sql, rows)

    def empty(self) -> None:
        """Forget everything that arrived."""
        with self.writing():
            for table in ("reaction", "message", "request"):
                self._db.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        self._db.close()


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")

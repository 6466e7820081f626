"""An import from end to end: chunks are read (large files by a second process), written, and refused rows put beside.

Every chunk commits as a whole, so an interrupted import leaves whole chunks; running it again finds them there.
"""

from __future__ import annotations

import csv
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from carillon.consent.record import Said, record_consents
from carillon.consent.standing import StandingRules
from carillon.consent.suppression import suppress
from carillon.definition.model import Data
from carillon.kernel.clock import Micros
from carillon.people.contacts import upsert_contacts
from carillon.people.events import value_field
from carillon.people.files import CHUNK, RowFile, open_rows
from carillon.people.gathering import Commits, together
from carillon.people.ingest import contact_ids, ingest_events, ingest_sent
from carillon.people.lists import keep_only, put_on_list
from carillon.people.mapping import Source
from carillon.people.reading import Read, Refusal
from carillon.people.reading_ahead import reading_ahead
from carillon.people.sent import IS_POSSIBLE, Sent
from carillon.people.shapes import ImportShape, Kind, read_chunk, shape_of
from carillon.people.who import Known, remember
from carillon.store.engine import Store

SMALL: Mapping[Kind, int] = {
    "contacts": 20_000,
    "events": 60_000,
    "consents": 60_000,
    "suppressions": 20_000,
    "list": 60_000,
}
"""Rows up to which a second process costs more than it saves, in whole chunks; telephone numbers are slow to read."""
LARGE = 500_000
"""Events from which on this process reads twice as many itself: as long as the other reads for a commit of its own."""
WRITTEN_TOGETHER = 20_000
"""Rows of one commit."""
EVENTS_TOGETHER = 250_000
"""Events of one commit: larger sets go faster into what lies by contact, smaller ones let others write in between."""
MOST_BYTES = 1 << 25
"""Of a file in one commit, whose rows are all held at once: long rows make smaller sets."""


@dataclass(frozen=True, slots=True)
class ListWish:
    """A list by its name, and whether the file is all of it (`--replace`): who does not stand in it leaves the list."""

    name: str
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What to import and how; nothing is written yet."""

    kind: Kind
    file: RowFile
    shape: ImportShape
    rules: StandingRules
    workspace_zone: str
    at: Micros
    commit_rows: int = EVENTS_TOGETHER
    history: bool = True
    """False (`--enrol`): what the file says happens now, and whoever it concerns may enter."""
    into: ListWish | None = None
    """Which list the file is about."""


@dataclass(slots=True)
class ImportResult:
    """What an import did, in numbers."""

    rows: int = 0
    refused: int = 0
    left_out: int = 0
    """Values that could not be read, of rows that were imported."""
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason, without the value → how many rows."""
    refused_file: str | None = None

    def add(self, counts: Mapping[str, int]) -> None:
        for name, n in counts.items():
            self.counts[name] = self.counts.get(name, 0) + n


def plan_import(
    kind: Kind, path: Path, source: Source, *, data: Data, topics: tuple[str, ...], rules: StandingRules,
    workspace_zone: str, at: Micros, history: bool = True, currencies: tuple[str, ...] = (),
    into: ListWish | None = None,
) -> ImportPlan:  # fmt: skip
    """Open the file and bind its columns; raises UnreadableFileError or MappingError before anything is written."""
    file = open_rows(path, source)
    shape = shape_of(kind, file.header, source, data, topics, workspace_zone, path.name, at, currencies)
    return ImportPlan(kind, file, shape, rules, workspace_zone, at, history=history, into=into)


def run_import(
    store: Store | None, plan: ImportPlan, *, progress: Callable[[float, int], None] = lambda done, rows: None
) -> ImportResult:
    """Import the file; without a store only read it (`--dry-run`). `progress` gets the share done and the rows so far."""
    began = time.perf_counter()
    result = ImportResult()
    beside = plan.file.path.with_name(plan.file.path.name + ".refused.csv")
    with _refused(beside, plan.file.header, result) as refuse, _no_collection():
        commits = _commits(plan)
        chunks = (
            read_chunks(plan, commits, partial(_known, store)) if store and _stages(store, plan) else read_chunks(plan)
        )
        for read in _gathered(chunks, commits):
            late = _write(store, plan, read, result) if store is not None else []
            refuse(read, late)
            result.rows += read.n
            progress(read.done, result.rows)
    if store is not None and plan.into is not None and plan.into.is_whole and result.refused < result.rows:
        result.add({"taken off": keep_only(store, plan.into.name, told_at=plan.at, source=_source(plan))})
    result.seconds = time.perf_counter() - began
    return result


def _stages(store: Store, plan: ImportPlan) -> bool:
    """Are events staged by the process that reads them?"""
    return IS_POSSIBLE and plan.kind == "events" and store.runs_here


def _known(store: Store, n: int) -> Known | None:
    """Everybody, where they are few enough."""
    with store.draft("events") as draft, draft.reading() as connection:
        known = remember(connection, n)
    return known if known.is_all else None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of rows hold no cycles: looking for some in them costs a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_chunks(
    plan: ImportPlan, commits: Commits | None = None, remembers: Callable[[int], Known | None] = lambda n: None
) -> Iterator[Read[Any]]:
    """Chunks as rows, in order; of a large file a second process reads what is behind the first few, while this one writes.

    With `commits`, those of the rows that are read here, the second one gives whole commits of staged events;
    `remembers` says who is who, to number the customers of so many.
    """
    chunks = plan.file.chunks()
    first = next(chunks, None)
    if first is None:
        return
    own = SMALL[plan.kind]
    if first.n <= first.done * own:
        yield from (read_chunk(plan.shape, chunk) for chunk in chain((first,), chunks))
        return
    if commits and first.n > first.done * LARGE:
        own *= 2
        commits.rows = min(own, commits.most)
    behind = replace(commits, rows=min(2 * own, commits.most)) if commits else None
    known: Known | None = None

    def numbered() -> Mapping[str, int]:
        nonlocal known
        known = remembers(int(first.n / first.done)) if commits else None
        return known.unmerged if known else {}

    with reading_ahead(plan.file, plan.shape, own, behind, numbered) as reads:
        yield from (read_chunk(plan.shape, chunk) for chunk in chain((first,), islice(chunks, own // CHUNK - 1)))
        for read in reads:
            if isinstance(read.rows, Sent):
                read.rows.known = known
            yield read


def _commits(plan: ImportPlan) -> Commits:
    most = plan.commit_rows if plan.kind == "events" else WRITTEN_TOGETHER
    return Commits(min(SMALL[plan.kind], most), most, MOST_BYTES / max(plan.file.path.stat().st_size, 1))


def _gathered(reads: Iterator[Read[Any]], commits: Commits) -> Iterator[Read[Any]]:
    """Chunks put together until they make a commit."""
    held: list[Read[Any]] = []
    for read in reads:
        if isinstance(read.rows, Sent):  # a whole one
            if held:
                yield together(held)
                held = []
            yield read
            continue
        held.append(read)
        if commits.is_full_with(read):
            yield together(held)
            held = []
    if held:
        yield together(held)


def _write(store: Store, plan: ImportPlan, read: Read[Any], result: ImportResult) -> list[Refusal]:
    """Write the rows in one transaction; returns rows that only the store could refuse."""
    source = _source(plan)
    match plan.kind:
        case "events":
            money = {kind: value_field(fields) for kind, fields in plan.shape.fields.items()}
            ingest: Any = ingest_sent if isinstance(read.rows, Sent) else ingest_events
            events = ingest(store, read.rows, source=source, history=plan.history, received_at=plan.at, money=money)
            result.add({"new": events.inserted, "known": events.duplicates, "of unknown contacts": events.orphans})
        case "contacts":
            with store.write("core") as connection:
                done = upsert_contacts(
                    connection, plan.rules, read.rows, workspace_zone=plan.workspace_zone, source=source, at=plan.at,
                    history=plan.history,
                )  # fmt: skip
            counts = {"new": done.created, "changed": done.changed, "as they were": done.unchanged}
            result.add(counts | ({"consents": done.consents} if done.consents else {}))
        case "consents":
            return _write_consents(store, plan, read, result)
        case "suppressions":
            with store.write("core") as connection:
                n = suppress(connection, plan.rules, read.rows)
            result.add({"new": n, "known": len(read.rows) - n})
        case "list":
            assert plan.into is not None, "a list has a name"
            done_list = put_on_list(store, plan.into.name, read.rows, told_at=plan.at, source=source)
            result.add({"new": done_list.new, "known": done_list.known})
            return done_list.refusals
    return []


def _source(plan: ImportPlan) -> str:
    return f"import {plan.file.path.name}"


def _write_consents(store: Store, plan: ImportPlan, read: Read[Any], result: ImportResult) -> list[Refusal]:
    with store.write("core") as connection:
        ids = contact_ids(connection, {row.shop_id for row in read.rows})
        said = [
            Said(ids[row.shop_id], row.topic, row.channel, row.state, row.source, row.evidence, row.at)
            for row in read.rows
            if row.shop_id in ids
        ]
        n = record_consents(connection, plan.rules, said, history=plan.history)
    result.add({"new": n, "known": len(said) - n})
    return [
        Refusal(row.row, f"contact: {row.shop_id!r} is not known, import contacts first")
        for row in read.rows
        if row.shop_id not in ids
    ]


@contextmanager
def _refused(
    path: Path, header: list[str], result: ImportResult
) -> Iterator[Callable[[Read[Any], list[Refusal]], None]]:
    """Collects refusals into the file beside, which is made with the first one and replaced by the next import."""
    path.unlink(missing_ok=True)
    writer: Any = None
    stream: Any = None

    def refuse(read: Read[Any], late: list[Refusal]) -> None:
        nonlocal writer, stream
        for refusal in sorted([*read.refusals, *late], key=lambda r: r.row):
            if writer is None:
                stream = path.open("w", encoding="utf-8", newline="")
                writer = csv.writer(stream)
                writer.writerow(["row", "reason", *header])
                result.refused_file = str(path)
            whole = "" if refusal.is_whole else "left out: "
            writer.writerow([refusal.row, whole + refusal.reason, *read.cells.get(refusal.row, [])])
            if refusal.is_whole:
                result.refused += 1
                short = refusal.reason.partition(":")[0]
                result.reasons[short] = result.reasons.get(short, 0) + 1
            else:
                result.left_out += 1

    try:
        yield refuse
    finally:
        if stream is not None:
            stream.close()

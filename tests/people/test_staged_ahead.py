"""A large file of events on SQLite: what the second process has staged is what this one would have staged."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from carillon.definition.model import Field
from carillon.people import importing
from carillon.people.fields import Reading
from carillon.people.files import CHUNK, open_rows
from carillon.people.gathering import Commits
from carillon.people.mapping import Source, bind
from carillon.people.reading_ahead import ReaderDiedError, reading_ahead
from carillon.people.shapes import ImportShape
from carillon.store import tables as t
from carillon.store.migrate import open_store

FEW = {**importing.SMALL, "events": CHUNK}
N = 4 * CHUNK + 700
ONE_KIND = "contact,at,order_id,total\n"
KINDS = "contact,at,event,order_id,cart_id,total,currency\n"


def orders(n: int) -> Iterator[str]:
    """Of two hundred customers, some of whom nobody knows; some come twice, some are out of order, some make no sense."""
    for k in range(n):
        at = 1_700_000_000 + (k if k % 1_000 else n - k)
        yield f"c{k * 7 % 200},{'never' if k % 2_500 == 2_400 else at},o{k},{k}.00\n"
        if k % 900 == 0:
            yield f"c{k * 7 % 200},{at},o{k},{k}.00\n"


def of_all_kinds(n: int) -> Iterator[str]:
    for k in range(n):
        total = "" if k % 3 else f"{k}.50"
        kind = "cart_emptied" if k % 3 else "order_completed"
        order_id, cart_id = ("", f"k{k}") if k % 3 else (f"o{k}", "")
        currency = "XXX" if k % 2_000 == 1_500 else "USD" if k % 3_000 == 0 else ""
        yield f"c{k % 90},{1_700_000_000 + k},{kind},{order_id},{cart_id},{total},{currency}\n"


FILES = {
    "one kind": (ONE_KIND + "".join(orders(N)), {"event": "order_completed"}),
    "all kinds": (KINDS + "".join(of_all_kinds(N)), {}),
}


def everything(shop: Any) -> Any:
    refused = shop.folder / "in.csv.refused.csv"
    with shop.store.read() as connection:
        tables = [
            sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in (t.event, t.contact_event, t.arrival, t.intake, t.money_field)
        ]
    return tables, refused.read_text() if refused.exists() else ""


@contextmanager
def another(sqlite_shop: Any, name: str) -> Iterator[Any]:
    """A shop with a store of its own and half of the customers."""
    folder = sqlite_shop.folder / name
    folder.mkdir()
    store = open_store(f"sqlite:///{folder / 'carillon.db'}")
    shop = dataclasses.replace(sqlite_shop, store=store, folder=folder)
    shop.imports("contacts", "id\n" + "".join(f"c{k}\n" for k in range(0, 200, 2)))
    yield shop
    store.close()


@pytest.mark.parametrize("name", FILES)
def test_staged_ahead_or_here_a_file_gives_the_same(
    sqlite_shop: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Known and unknown customers, repeated events, refused rows with their numbers, disorder, kinds and currencies."""
    text, source = FILES[name]
    monkeypatch.setattr(importing, "SMALL", FEW)
    found = []
    for is_possible in (True, False):
        monkeypatch.setattr(importing, "IS_POSSIBLE", is_possible)
        with another(sqlite_shop, str(is_possible)) as shop:
            told: list[tuple[float, int]] = []
            result = shop.imports(
                "events", text, commit_rows=2 * CHUNK, progress=lambda *done, told=told: told.append(done), **source
            )
            found.append((result.counts, result.reasons, result.rows, told, everything(shop)))
    assert found[0] == found[1]
    assert len(found[0][3]) == 3
    assert found[0][1]


def test_a_commit_of_refused_rows_alone_stops_nothing(sqlite_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole chunk makes no sense, and is a commit by itself: its rows are refused, all others are there."""
    monkeypatch.setattr(importing, "SMALL", FEW)
    at = ["never" if 2 * CHUNK <= k < 3 * CHUNK else 1_700_000_000 + k for k in range(5 * CHUNK)]
    text = "contact,at\n" + "".join(f"c{k % 50},{instant}\n" for k, instant in enumerate(at))
    with another(sqlite_shop, "refused") as shop:
        result = shop.imports("events", text, event="cart_emptied", commit_rows=CHUNK)
    assert (result.counts["new"], result.reasons, result.rows) == (4 * CHUNK, {"at": CHUNK}, 5 * CHUNK)


def test_a_file_stopped_between_staged_commits_goes_on(sqlite_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after the second commit, which the other process has staged: both stay, and a second run brings the rest."""
    monkeypatch.setattr(importing, "SMALL", FEW)
    text = "contact,at\n" + "".join(f"c{k % 50},{1_700_000_000 + k}\n" for k in range(N))

    def stop(done: float, rows: int) -> None:
        if rows > CHUNK:
            raise KeyboardInterrupt

    with another(sqlite_shop, "stopped") as shop:
        with pytest.raises(KeyboardInterrupt):
            shop.imports("events", text, event="cart_emptied", progress=stop, commit_rows=2 * CHUNK)
        assert shop.rows(t.intake.c.n, order_by=t.intake.c.id) == [(CHUNK,), (2 * CHUNK,)]
        again = shop.imports("events", text, event="cart_emptied", commit_rows=2 * CHUNK)
        assert again.counts == {"new": N - 3 * CHUNK, "known": 3 * CHUNK, "of unknown contacts": N // 2}


KILLED = """
import sys
from pathlib import Path
from carillon.people import importing
from carillon.store.migrate import open_store
sys.path.insert(0, "tests/people")
from conftest import Shop
importing.SMALL = {"events": 2000}
text = Path(sys.argv[2]).read_text()
def told(done, rows):
    print(rows, flush=True)
    sys.stdin.readline()
Shop(open_store(sys.argv[1]), Path(sys.argv[2]).parent).imports(
    "events", text, event="order_completed", commit_rows=4000, progress=told)
"""


def test_a_killed_import_leaves_no_file_and_no_reader_behind(sqlite_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 while staged commits wait: whole commits stay, nothing lies beside the store, and the next import has all."""
    monkeypatch.setattr(importing, "SMALL", FEW)
    text, source = FILES["one kind"]
    with another(sqlite_shop, "killed") as shop:
        (shop.folder / "in.csv").write_text(text)
        importer = subprocess.Popen(
            [sys.executable, "-c", KILLED, shop.store.url, str(shop.folder / "in.csv")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert importer.stdin
        assert importer.stdout
        assert importer.stdout.readline().split() == [str(CHUNK)]
        importer.stdin.write("\n")
        importer.stdin.flush()
        assert importer.stdout.readline().split() == [str(3 * CHUNK)]
        readers = psutil.Process(importer.pid).children()
        os.kill(importer.pid, signal.SIGKILL)
        importer.wait()
        importer.stdin.close()
        importer.stdout.close()
        _, alive = psutil.wait_procs(readers, timeout=10)
        assert len(readers) == 1
        assert alive == []
        store = {f"carillon{part}.db{more}" for part in ("", ".events", ".ledger") for more in ("", "-wal", "-shm")}
        assert {path.name for path in shop.folder.iterdir()} <= store | {"in.csv", "in.csv.refused.csv"}
        shop.imports("events", text, commit_rows=2 * CHUNK, **source)
        after = everything(shop)
    with another(sqlite_shop, "whole") as shop:
        shop.imports("events", text, commit_rows=2 * CHUNK, **source)
        whole = everything(shop)
    keys = [[row.split(", ")[:2] for row in tables[0]] for tables, _ in (after, whole)]
    assert keys[0] == keys[1]
    assert [len(tables[1]) for tables, _ in (after, whole)] == [len(whole[0][1])] * 2
    assert len(after[0][2]) == len(after[0][0])  # each arrives once
    assert after[1] == whole[1]


def test_half_a_staged_commit_is_none(tmp_path: Path) -> None:
    """The reader was killed in the middle of a commit that it sent: what came whole is written, and its death is told."""
    file = tmp_path / "in.csv"
    file.write_text("contact,at,order_id\n" + "".join(f"c{k},{k + 1_700_000_000},o{k}\n" for k in range(9 * CHUNK)))
    opened = open_rows(file, Source())
    shape = ImportShape(
        "events", bind(opened.header, ["contact", "at", "order_id"], {}, Source()), Reading("UTC"),
        {"order_completed": {"order_id": Field("order_id", "word")}}, file.name, 0, "order_completed",
    )  # fmt: skip
    before = set(psutil.Process().children())
    found = []
    with reading_ahead(opened, shape, CHUNK, Commits(CHUNK, CHUNK, 1.0)) as reads:
        found.append(next(reads).n)
        (reader,) = set(psutil.Process().children()) - before
        spent = None
        while spent != (spent := reader.cpu_times()):  # until it waits for its pipe to be read
            time.sleep(0.2)
        reader.kill()
        with pytest.raises(ReaderDiedError):
            found += [read.n for read in reads]
    assert len(found) < 8
    assert set(found) == {CHUNK}

"""Two processes at one file: what travels between them arrives as it was, and an end that is none is told."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.people.fields import Reading
from carillon.people.files import CHUNK, UnreadableFileError, open_rows
from carillon.people.importing import SMALL
from carillon.people.mapping import Source, bind
from carillon.people.packing import Columnwise, joined
from carillon.people.reading_ahead import ReaderDiedError, reading_ahead
from carillon.people.shapes import ImportShape

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(st.characters(), max_size=3),
    st.sampled_from([0, 1, -1, 1.0, True, "", "\0", "a\0b", "\ud800"]),
)  # fmt: skip


ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=4)


def columnwise(rows: list[tuple[Any, ...]]) -> Columnwise:
    return Columnwise(len(rows), tuple(map(list, zip(*rows, strict=True))) if rows else ([], []))


@given(st.lists(ROWS, min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_columns_arrive_as_they_were_sent(parts: list[list[tuple[Any, ...]]]) -> None:
    """Mixed columns, NUL, numbers beyond 64 bits, 1 beside 1.0 and True, no rows at all; and put together in order."""
    sent = [columnwise(rows) for rows in parts]
    rows = [row for part in parts for row in part]
    for found in (joined([pickle.loads(pickle.dumps(part)) for part in sent]), joined([sent[0], *parts[1:]])):
        assert list(found) == rows
        assert [list(map(type, row)) for row in found] == [list(map(type, row)) for row in rows]
        assert [found[k] for k in range(len(found))] == rows


def of_a_list(path: Path) -> Any:
    """What a list's file is read as, from its second chunk on."""
    file = open_rows(path, Source())
    bound = bind(file.header, ["contact"], {}, Source())
    return file, ImportShape("list", bound, Reading("UTC"), {}, path.name, 0), CHUNK


def test_what_stops_making_sense_is_told_from_the_second_process(tmp_path: Path) -> None:
    """A quote that is never closed, far behind the rows that the first process reads."""
    file = tmp_path / "list.csv"
    file.write_text("contact\n" + "c1\n" * (2 * CHUNK) + '"open')
    with reading_ahead(*of_a_list(file)) as reads, pytest.raises(UnreadableFileError, match="rows before it"):
        assert [read.n for read in reads] == [CHUNK]


def test_a_reader_that_was_killed_is_no_end_of_the_file(tmp_path: Path) -> None:
    """Its rows are missing: the import must not report a whole file."""
    file = tmp_path / "list.csv"
    file.write_text("contact\n" + "c1\n" * (SMALL["list"] + CHUNK))
    before = set(psutil.Process().children())
    with reading_ahead(*of_a_list(file)) as reads:
        (reader,) = set(psutil.Process().children()) - before
        reader.kill()
        with pytest.raises(ReaderDiedError):
            list(reads)

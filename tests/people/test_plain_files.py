"""Lines that are only cut give what a CSV reader gives, and every other is left to it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon.people.files import Chunk, UnreadableFileError, open_rows
from carillon.people.mapping import Source

CELLS = st.text(st.sampled_from('ab ;,"\r\n\t\0\u2028é'), max_size=3)
LINES = st.lists(st.lists(CELLS, max_size=3).map(",".join), max_size=8)
PLAIN = st.lists(st.tuples(st.sampled_from(["a", "", " b"]), st.sampled_from(["é", ""])).map(",".join), max_size=8)


def rows_of(chunks: list[Chunk]) -> list[list[str]]:
    return [list(row) for chunk in chunks for row in zip(*chunk.columns.values(), strict=True)]


def read_by_csv(path: Path, width: int) -> tuple[list[list[str]], dict[int, int]] | None:
    """The rows, those of a wrong width as blanks; and which rows those are, counted from 0."""
    with path.open(encoding="utf-8", newline="") as stream:
        try:
            rows = list(csv.reader(stream, strict=True))[1:]
        except csv.Error:
            return None
    odd = {k: len(row) for k, row in enumerate(rows) if len(row) != width}
    return [[""] * width if k in odd else row for k, row in enumerate(rows)], odd


@given(st.one_of(LINES, PLAIN), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(1, 3))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_those_of_a_csv_reader(tmp_path: Path, lines: list[str], end: str, is_ended: bool, size: int) -> None:
    """Quotes, breaks inside quotes, empty lines, too few and too many cells; chunk by chunk."""
    for header in ("x,y", "x"):
        path = tmp_path / "file.csv"
        path.write_bytes((end.join([header, *lines]) + (end if is_ended else "")).encode())
        width = header.count(",") + 1
        wanted = read_by_csv(path, width)
        try:
            found = list(open_rows(path, Source(delimiter=",")).chunks(size))
        except UnreadableFileError:
            assert wanted is None
            continue
        assert wanted is not None
        assert rows_of(found) == wanted[0]
        assert [chunk.first + k - 2 for chunk in found for k in chunk.unread] == list(wanted[1])
        assert [chunk.first for chunk in found] == list(range(2, len(wanted[0]) + 2, size))


def test_an_error_names_its_line_behind_plain_chunks_and_quoted_breaks(tmp_path: Path) -> None:
    """Row 5 begins on line 6: the second row has a break in it."""
    path = tmp_path / "file.csv"
    path.write_text('x,y\n1,1\n2,"a\nb"\n3,3\n4,4\n5,"c"d\n')
    chunks = open_rows(path, Source()).chunks(2)
    assert [chunk.n for chunk in (next(chunks), next(chunks))] == [2, 2]
    with pytest.raises(UnreadableFileError, match="line 7:"):
        next(chunks)

"""Reading files of rows: CSV in any dialect, JSON Lines, Parquet; in chunks of columns, numbered as an editor shows them.

What cannot be read at all is refused before anything is written, with the line, the byte, and what to try.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from carillon.people.mapping import Source

CHUNK = 2_000
"""Rows read at once: few enough that their values lie in the processor's cache from the cell to the last column."""

_LONGEST_CELL = 1_000_000
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class UnreadableFileError(ValueError):
    """The file is not what it seems to be; the message says where and what to try."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows as columns. Row i stands at `first + i`: the line of a JSON Lines file, the row of others."""

    first: int
    n: int
    columns: dict[str, list[Any]]
    unread: dict[int, str]
    """Rows of the chunk (by index) that could not be read, with the reason; their cells are None."""
    done: float
    """Share of the file read so far, for the progress bar."""


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file whose header was read: its column names, and its chunks."""

    path: Path
    header: list[str]
    source: Source
    kind: str

    def chunks(self, size: int = CHUNK) -> Iterator[Chunk]:
        """The rows; raises UnreadableFileError where they stop making sense."""
        match self.kind:
            case "parquet":
                return _parquet_chunks(self.path, self.header, size)
            case "jsonl":
                return _jsonl_chunks(self.path, self.header, size)
            case _:
                return _csv_chunks(self.path, self.header, self.source, size)


def open_rows(path: Path, source: Source) -> RowFile:
    """Read the header and check that the whole file can be decoded, before anything is imported."""
    if not path.is_file():
        raise UnreadableFileError(f"there is no file {path}")
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == b"PAR1":
        return RowFile(path, _parquet(path).schema_arrow.names, source, "parquet")
    if not start:
        raise UnreadableFileError(f"{path} is empty")
    if path.suffix in (".jsonl", ".ndjson", ".json") or start.lstrip()[:1] in (b"{", b"["):
        return RowFile(path, _jsonl_header(path), source, "jsonl")
    encoding = source.encoding or next((name for bom, name in _BOMS if start.startswith(bom)), "utf-8")
    _check_encoding(path, encoding)
    dialect = _delimiter(path, encoding, source.delimiter)
    known = replace(source, encoding=encoding, delimiter=dialect)
    with path.open(encoding=encoding, newline="") as text:
        header = [name.strip() for name in next(csv.reader(text, delimiter=dialect), [])]
    _check_header(path, header)
    return RowFile(path, header, known, "csv")


def _check_encoding(path: Path, encoding: str) -> None:
    """Decode all of the file once: a wrong byte on the last line must not be found half-way through an import."""
    try:
        with path.open(encoding=encoding, newline="") as text:
            while text.read(1 << 20):
                pass
    except UnicodeError:
        raise _wrong_encoding(path, encoding) from None
    except LookupError:
        raise UnreadableFileError(f"no encoding {encoding!r}: utf-8, utf-16, cp1252, iso-8859-15 … are known") from None


def _wrong_encoding(path: Path, encoding: str) -> UnreadableFileError:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                byte = line[error.start]
                shown = line[max(0, error.start - 12) : error.start + 12].decode("cp1252", "replace").strip()
                return UnreadableFileError(
                    f"{path}, line {number}, byte {error.start + 1}: 0x{byte:02X} is not {encoding}. "
                    f'In Windows-1252 it reads "{shown}": if that is right, say --encoding cp1252'
                )
    return UnreadableFileError(f"{path} is not {encoding}: say --encoding utf-8, utf-16 or cp1252")


def _delimiter(path: Path, encoding: str, told: str | None) -> str:
    """The delimiter that divides the first lines most evenly."""
    if told:
        return {"tab": "\t", "\\t": "\t"}.get(told, told)
    with path.open(encoding=encoding, newline="") as text:
        lines = [line for line in (text.readline() for _ in range(20)) if line.strip()]
    counts = {
        mark: [len(row) for row in csv.reader(io.StringIO("".join(lines), newline=""), delimiter=mark)]
        for mark in ",;\t|"
    }
    best = max(
        counts, key=lambda mark: (counts[mark][:1] or [1])[0] * (1 + counts[mark].count((counts[mark][:1] or [1])[0]))
    )
    return best if (counts[best][:1] or [1])[0] > 1 else ","


def _check_header(path: Path, header: list[str]) -> None:
    if not header or all(not name for name in header):
        raise UnreadableFileError(f"{path}, line 1: no column names")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UnreadableFileError(f"{path}, line 1: the column {twice[0]!r} stands twice")


def _csv_chunks(path: Path, header: list[str], source: Source, size: int) -> Iterator[Chunk]:
    total = max(path.stat().st_size, 1)
    csv.field_size_limit(_LONGEST_CELL)
    with path.open("rb") as stream:
        text = io.TextIOWrapper(stream, encoding=source.encoding, newline="")
        delimiter = source.delimiter or ","
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        next(reader)
        first, line = 2, reader.line_num
        while lines := list(islice(text, size)):
            if columns := _plain_cells(lines, delimiter, len(header)):
                chunk = Chunk(first, len(lines), dict(zip(header, columns, strict=True)), {}, stream.tell() / total)
                line += len(lines)
            else:
                reader = csv.reader(chain(lines, text), delimiter=delimiter, strict=True)
                try:
                    rows = list(islice(reader, size))  # each has a line at least: none of `lines` is left
                except csv.Error as error:
                    where = f"{path}, line {line + reader.line_num}"
                    raise UnreadableFileError(f"{where}: {error} (rows before it are imported)") from None
                chunk = _from_rows(header, rows, first, stream.tell() / total)
                line += reader.line_num
            yield chunk
            first += chunk.n


def _plain_cells(lines: list[str], delimiter: str, width: int) -> list[list[str]] | None:
    """The columns of lines that only need to be cut, as most do: a fifth of the time. None where a CSV reader must look."""
    text = "".join(lines).replace("\r\n", "\n")
    if '"' in text or "\r" in text or max(map(len, lines)) > _LONGEST_CELL:
        return None
    end = f"{delimiter}\n{delimiter}"
    cells = text.removesuffix("\n").replace("\n", end).split(delimiter)
    cells.append("\n")
    n, wide = len(lines), width + 1
    if len(cells) != n * wide or cells[width::wide].count("\n") != n:
        return None  # a line has more or fewer cells than the header
    columns = [cells[index::wide] for index in range(width)]
    return None if width == 1 and "" in columns[0] else columns  # an empty line is no empty cell


def _from_rows(header: list[str], rows: list[list[str]], first: int, done: float) -> Chunk:
    width = len(header)
    unread = {}
    if set(map(len, rows)) != {width}:
        for index, row in enumerate(rows):
            if len(row) != width:
                said = "an empty line" if not any(row) else f"{len(row)} cells where the header has {width}"
                unread[index] = said
                rows[index] = [""] * width
    return Chunk(first, len(rows), dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)), unread, done)


def _jsonl_header(path: Path) -> list[str]:
    """All names that stand in the file; it is read once for them, so that an unknown one is told before the import."""
    names: dict[str, None] = {}
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            record = _record(line)
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
            elif number == 1 and record is not None:
                raise UnreadableFileError(f"{path}, line 1: {record} (JSON Lines has one object a line)")
    return list(names)


def _jsonl_chunks(path: Path, header: list[str], size: int) -> Iterator[Chunk]:
    total = max(path.stat().st_size, 1)
    with path.open("rb") as stream:
        first = 1
        while lines := _lines(stream, size):
            records = [_record(line) for line in lines]
            unread = {
                index: record or "an empty line" for index, record in enumerate(records) if not isinstance(record, dict)
            }
            objects = [record if isinstance(record, dict) else {} for record in records]
            columns = {name: [record.get(name) for record in objects] for name in header}
            yield Chunk(first, len(lines), columns, unread, stream.tell() / total)
            first += len(lines)


def _lines(stream: BinaryIO, size: int) -> list[bytes]:
    return list(islice(stream, size))


def _record(line: bytes) -> dict[str, Any] | str | None:
    """The object of a line with its `properties` laid beside the rest, or why there is none."""
    if not line.strip():
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"no JSON: {error}"
    if not isinstance(found, dict):
        return "no JSON object"
    properties = found.pop("properties", None)
    return {**properties, **found} if isinstance(properties, dict) else found


def _parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UnreadableFileError("Parquet files need the extra: pip install 'carillon[parquet]'") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UnreadableFileError(f"{path} is no whole Parquet file: {error}") from None


def _parquet_chunks(path: Path, header: list[str], size: int) -> Iterator[Chunk]:
    file = _parquet(path)
    total = max(file.metadata.num_rows, 1)
    first = 1
    for batch in file.iter_batches(size):
        columns = {name: batch.column(name).to_pylist() for name in header}
        yield Chunk(first, batch.num_rows, columns, {}, (first + batch.num_rows - 1) / total)
        first += batch.num_rows

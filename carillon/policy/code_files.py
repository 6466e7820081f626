"""Files of codes: one code a line, or a CSV with a column that is called so."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Connection

from carillon.definition.model import CouponPool
from carillon.policy.coupons import add_codes, new_codes

HEADINGS = ("code", "codes", "coupon", "coupon_code", "voucher", "voucher_code")


class UnreadableCodesError(ValueError):
    """The file is no text; the message says where."""


@dataclass(frozen=True, slots=True)
class CodeFile:
    """The codes of a file in their order; `first` is the row of the first one, as an editor counts."""

    codes: Sequence[str]
    first: int


def read_codes(path: Path) -> CodeFile:
    """Read the column that is called like a code, else the first; raises UnreadableCodesError for what is no text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise UnreadableCodesError(f"{path}: byte {fault.start:,} is no UTF-8; save the file as UTF-8") from None
    lines = text.splitlines()
    delimiter = next((mark for mark in "\t;," if lines and mark in lines[0]), ",")
    rows = [row or [""] for row in csv.reader(lines, delimiter=delimiter)]
    heads = [cell.strip().lower().replace(" ", "_") for cell in rows[0]] if rows else []
    column = next((place for place, head in enumerate(heads) if head in HEADINGS), None)
    first = 1 if column is None else 2
    codes = [row[column or 0] if len(row) > (column or 0) else "" for row in rows[first - 1 :]]
    return CodeFile(codes, first)


def lay_in(connection: Connection, workspace: Path, pools: Iterable[CouponPool]) -> dict[str, int]:
    """Lay in what is new in the files of these pools; pool → how many that were, where there were some."""
    laid = {}
    for pool in pools:
        if (file := _file_of(workspace, pool)) is not None:
            found = read_codes(file)
            laid[pool.name] = add_codes(connection, pool.name, found.codes, found.first).new
    return {pool: n for pool, n in laid.items() if n}


def codes_ahead(connection: Connection, workspace: Path, pools: Mapping[str, CouponPool]) -> dict[str, int]:
    """Pool → how many codes `lay_in` would lay in; nothing is written."""
    ahead = {}
    for name, pool in pools.items():
        if (file := _file_of(workspace, pool)) is not None:
            ahead[name] = len(new_codes(connection, name, read_codes(file).codes)[0])
    return ahead


def _file_of(workspace: Path, pool: CouponPool) -> Path | None:
    file = workspace / pool.file
    return file if pool.file and file.is_file() else None

"""Pools of coupons: what workspace.yaml says of them, and whether their files are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from carillon.definition.model import CouponPool
from carillon.definition.nodes import Text
from carillon.definition.scalars import Reading
from carillon.definition.workspace_words import CouponPoolWords, WorkspaceWords


def build_pools(words: Mapping[Text, CouponPoolWords] | None, reading: Reading) -> dict[str, CouponPool]:
    """The pools by name; a file outside of the workspace is a problem."""
    for pool in (words or {}).values():
        if pool.file is not None and not _is_below(pool.file):
            reading.note(pool.file.at, 3, "the file lies outside of the workspace", "file: coupons/NAME.csv")
    return {
        str(name): CouponPool(str(name), str(pool.file or ""), pool.valid_for, pool.low or 0)
        for name, pool in (words or {}).items()
    }


def _is_below(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts


def check_files(words: WorkspaceWords, files: Mapping[str, bytes], reading: Reading) -> None:
    """A file of codes that is not there is said: codes are often kept out of git, and imported instead."""
    for name, pool in (words.coupons or {}).items():
        if pool.file is not None and _is_below(pool.file) and str(PurePosixPath(pool.file)) not in files:
            reading.note(
                pool.file.at, 4, f"no file {pool.file} is here: nothing of it is laid in",
                suggestion=f"codes come in by: carillon import coupons {name} FILE", warning=True,
            )  # fmt: skip

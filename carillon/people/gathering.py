"""How much of a file is written together: chunks are gathered until they make a commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from carillon.people.packing import joined
from carillon.people.reading import Read


@dataclass(slots=True)
class Commits:
    """When a commit is full; the first ones are small, so that writing begins with reading."""

    rows: int
    """Of the next one."""
    most: int
    share: float
    """Of the file, at most in one commit: long rows make smaller sets."""
    begun: float = 0.0
    """Share of the file before this commit."""
    n: int = 0

    def is_full_with(self, read: Read[Any]) -> bool:
        """These come to it, too: is that enough? Then what follows is of the next commit."""
        self.n += read.n
        if self.n < self.rows and read.done - self.begun < self.share:
            return False
        self.n, self.begun, self.rows = 0, read.done, min(2 * self.rows, self.most)
        return True


def together(reads: Sequence[Read[Any]]) -> Read[Any]:
    """Chunks as one."""
    return Read(
        sum(read.n for read in reads),
        joined([read.rows for read in reads]),
        [refusal for read in reads for refusal in read.refusals],
        {row: cells for read in reads for row, cells in read.cells.items()},
        reads[-1].done,
    )

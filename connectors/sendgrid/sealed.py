"""An envelope on its way between two processes: the body is ready, and known is where each person ends in it.

A text a person would be a thousand objects to send and to make again, and the body would still have to be joined where
the ledger is written. Mostly everybody goes, and then the bytes are those of the request.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from connectors.sendgrid.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch ready to go, as one text."""

    whole: bytes
    begins: int
    """Where the first person does."""
    sizes: array[int]
    """How many bytes each person has, without the comma behind them."""

    def __len__(self) -> int:
        return len(self.sizes)

    def body(self, rows: Sequence[int]) -> bytes:
        """The request's body for these rows."""
        if len(rows) == len(self):
            return self.whole
        starts = list(accumulate((size + 1 for size in self.sizes), initial=self.begins))
        people = [self.whole[starts[row] : starts[row + 1] - 1] for row in rows]
        return b"".join([self.whole[: self.begins], b",".join(people), self.whole[starts[-1] - 1 :]])


def seal(made: Envelope) -> Sealed:
    """The same body for every choice of rows."""
    whole = made.body(range(len(made)))
    return Sealed(whole, whole.index(b"[") + 1, array("I", map(len, made.people)))

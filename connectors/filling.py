"""A shared text with tags in it, cut once, filled for each person."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """A text as its fixed pieces and the tags between them: `pieces[0] tags[0] pieces[1] … pieces[-1]`."""

    pieces: tuple[str, ...]
    tags: tuple[str, ...]

    def fill(self, values: Mapping[str, Sequence[str]], row: int) -> str:
        """The text for one person."""
        parts = [self.pieces[0]]
        for tag, piece in zip(self.tags, self.pieces[1:], strict=True):
            parts += (values[tag][row], piece)
        return "".join(parts)

    def encoded(self, encode: Callable[[str], bytes]) -> tuple[bytes, ...]:
        """The fixed pieces, encoded once for all people."""
        return tuple(encode(piece) for piece in self.pieces)


def cut(text: str, tags: Sequence[str]) -> Cut:
    """The text cut at its tags; where one tag begins like another, the longer one is meant."""
    if not tags:
        return Cut((text,), ())
    parts = re.split("(" + "|".join(re.escape(tag) for tag in sorted(tags, key=len, reverse=True)) + ")", text)
    return Cut(tuple(parts[::2]), tuple(parts[1::2]))

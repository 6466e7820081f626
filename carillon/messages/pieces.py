"""A template in pieces: plain text and Liquid, each remembering the file and place that it came from.

Blocks, layouts and texts are put together here, before anything is parsed, so that MJML and CSS see one whole design
and an error still names the line that the marketer wrote.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from carillon.definition.model import SourceText
from carillon.kernel.problems import Position

_LIQUID = re.compile(
    r"""(?sx)
    \{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}
  | \{%-?\s*comment\b.*?\{%-?\s*endcomment\s*-?%\}
  | \{\{.*?\}\}
  | \{%.*?%\}
    """
)
_TAG_NAME = re.compile(r"\{%-?\s*(\w+|\#)\s*(.*?)\s*-?%\}\Z", re.DOTALL)
_OUTPUT = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a piece was written: an offset in a file, or a place found elsewhere (a text in YAML)."""

    source: SourceText
    start: int = 0
    fixed: Position | None = None

    def position(self, offset: int = 0, length: int = 0) -> Position:
        """The place `offset` characters into the piece."""
        if self.fixed is not None:
            return self.fixed
        line, column = _line_column(self.source.text, self.start + offset)
        return Position(self.source.path, line, column, line, column + max(length, 1))


def _line_column(text: str, at: int) -> tuple[int, int]:
    before = text[: min(at, len(text))]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of plain text, or one Liquid tag or output."""

    text: str
    origin: Origin
    is_liquid: bool = False

    @property
    def tag(self) -> str:
        """The name of the tag (`if`, `endif`), '' for text and outputs."""
        found = _TAG_NAME.match(self.text) if self.is_liquid else None
        return found.group(1) if found else ""

    @property
    def argument(self) -> str:
        """What stands behind the tag's name, or inside an output."""
        found = _TAG_NAME.match(self.text) or _OUTPUT.match(self.text)
        return found.group(found.re.groups) if found and self.is_liquid else ""

    @property
    def is_output(self) -> bool:
        return self.is_liquid and self.text.startswith("{{")

    def part(self, start: int, end: int) -> Piece:
        """A stretch of a piece of plain text, which still knows its place."""
        origin = Origin(self.origin.source, self.origin.start + start, self.origin.fixed)
        return Piece(self.text[start:end], origin)

    def position(self) -> Position:
        """Where the piece begins."""
        return self.origin.position(0, len(self.text))


@dataclass(frozen=True)
class Composed:
    """Pieces in order, and the text that they make."""

    pieces: Sequence[Piece]
    _starts: list[int] = field(default_factory=list, compare=False)

    @cached_property
    def text(self) -> str:
        """All pieces joined."""
        at = 0
        self._starts.clear()
        for piece in self.pieces:
            self._starts.append(at)
            at += len(piece.text)
        return "".join(piece.text for piece in self.pieces)

    def position(self, offset: int, length: int = 0) -> Position:
        """The place in the marketer's own file of a place in `text`."""
        if not self.text:
            return Position(self.pieces[0].origin.source.path if self.pieces else "")
        index = max(0, bisect_right(self._starts, offset) - 1)
        return self.pieces[index].origin.position(offset - self._starts[index], length)


def cut(source: SourceText, fixed: Position | None = None) -> list[Piece]:
    """The pieces of a file, in order."""
    return list(_cut(source, fixed))


def _cut(source: SourceText, fixed: Position | None) -> Iterator[Piece]:
    at = 0
    for found in _LIQUID.finditer(source.text):
        if found.start() > at:
            yield Piece(source.text[at : found.start()], Origin(source, at, fixed))
        yield Piece(found.group(), Origin(source, found.start(), fixed), is_liquid=True)
        at = found.end()
    if at < len(source.text):
        yield Piece(source.text[at:], Origin(source, at, fixed))


BLOCKS = frozenset({"if", "unless", "case", "for", "tablerow", "capture", "ifchanged"})


@dataclass(frozen=True, slots=True)
class Imbalance:
    """A block tag without its partner in the same file."""

    piece: Piece
    message: str


def imbalances(pieces: Iterable[Piece]) -> list[Imbalance]:
    """Blocks that are never closed, and ends without a beginning; python-liquid gives these no usable place."""
    found, open_tags = [], list[Piece]()
    for piece in pieces:
        name = piece.tag
        if name in BLOCKS:
            open_tags.append(piece)
        elif name.startswith("end") and name[3:] in BLOCKS:
            if open_tags and open_tags[-1].tag == name[3:]:
                open_tags.pop()
            elif any(p.tag == name[3:] for p in open_tags):
                while open_tags[-1].tag != name[3:]:
                    found.append(_never_closed(open_tags.pop()))
                open_tags.pop()
            else:
                found.append(Imbalance(piece, f"{{% {name} %}} closes nothing"))
    return found + [_never_closed(piece) for piece in open_tags]


def _never_closed(piece: Piece) -> Imbalance:
    return Imbalance(piece, f"{{% {piece.tag} %}} is never closed in this file")

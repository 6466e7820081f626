"""Putting a message together from its file, its layout, shared blocks and the texts of one language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

from carillon.definition.model import SourceText
from carillon.kernel.problems import Position, Problem, did_you_mean
from carillon.messages.footers import footer_pieces, with_footer
from carillon.messages.pieces import Composed, Piece, cut, imbalances

_MJ_INCLUDE = re.compile(r"""<mj-include\s+path=["']([^"']*)["']\s*(?:/>|>\s*</mj-include>)""")
_LITERAL = re.compile(r"""["']([^"']*)["']\Z""")
_TEXT_KEY = re.compile(r"t\.([A-Za-z_]\w*)\Z")
_DEEPEST = 10


@dataclass(slots=True)
class Composer:
    """Composes one message; `problems` fills as it goes."""

    shared: Mapping[str, SourceText]
    """Files of `shared/` by their path below it."""
    texts: Mapping[str, SourceText]
    """`t.*` of this language and variant; the path is the words' file."""
    place_of: Callable[[str, str], Position]
    """(words' file, key path) → where in YAML it stands."""
    footer: Mapping[str, str] = field(default_factory=dict)
    """Country → what stands below every message; '' is for all others."""
    problems: list[Problem] = field(default_factory=list)

    def compose(self, source: SourceText, *, for_html: bool) -> Composed:
        """The whole template: layout around it, blocks and texts in it."""
        pieces = self._file(source, for_html, ())
        layout = next((piece for piece in pieces if piece.is_liquid or piece.text.strip()), None)
        if layout is not None and layout.tag == "layout":
            rest = [piece for piece in pieces if piece is not layout]
            pieces = self._into_layout(layout, rest, for_html)
        pieces = self._footed(pieces, for_html)
        for piece in pieces:
            if piece.tag in ("carried", "endcarried"):
                self._wrong(piece, "MSG402", f"Liquid: no tag {{% {piece.tag} %}}")
            if piece.tag in ("layout", "content"):
                self._wrong(
                    piece, "MSG406", f"{{% {piece.tag} %}} stands in the wrong place", "layout first, content once"
                )
        return Composed([piece for piece in pieces if piece.tag not in ("layout", "content")])

    def _footed(self, pieces: list[Piece], for_html: bool) -> list[Piece]:
        """The footer where the design names it, else at the end."""
        footer = [_escaped(p, for_html) for p in footer_pieces(self.footer)] if self.footer else []
        if any(_is_footer(piece) for piece in pieces):
            return [part for piece in pieces for part in (footer if _is_footer(piece) else [piece])]
        return with_footer(pieces, footer, for_html=for_html) if footer else pieces

    def _file(self, source: SourceText, for_html: bool, within: tuple[str, ...]) -> list[Piece]:
        pieces = cut(source)
        for lame in imbalances(pieces):
            self._wrong(lame.piece, "MSG402", lame.message)
        return list(self._expand(pieces, for_html, (*within, source.path)))

    def _into_layout(self, tag: Piece, content: list[Piece], for_html: bool) -> list[Piece]:
        layout = self._shared(tag, tag.argument)
        if layout is None:
            return content
        pieces = self._file(layout, for_html, ())
        if not any(piece.tag == "content" for piece in pieces):
            self._wrong(tag, "MSG406", f"the layout {layout.path} has no {{% content %}}")
        return [part for piece in pieces for part in (content if piece.tag == "content" else [piece])]

    def _expand(self, pieces: list[Piece], for_html: bool, within: tuple[str, ...]) -> Iterator[Piece]:
        for piece in pieces:
            if piece.tag in ("include", "render"):
                yield from self._block(piece, piece.argument, for_html, within)
            elif piece.is_output and (key := _TEXT_KEY.match(piece.argument)):
                yield from self._text(piece, key.group(1), for_html)
            elif not piece.is_liquid and "<mj-include" in piece.text:
                yield from self._mj_includes(piece, for_html, within)
            else:
                yield piece

    def _mj_includes(self, piece: Piece, for_html: bool, within: tuple[str, ...]) -> Iterator[Piece]:
        at = 0
        for found in _MJ_INCLUDE.finditer(piece.text):
            yield piece.part(at, found.start())
            yield from self._block(piece.part(found.start(), found.end()), f'"{found.group(1)}"', for_html, within)
            at = found.end()
        yield piece.part(at, len(piece.text))

    def _block(self, piece: Piece, argument: str, for_html: bool, within: tuple[str, ...]) -> list[Piece]:
        block = self._shared(piece, argument)
        if block is None:
            return []
        if block.path in within or len(within) > _DEEPEST:
            self._wrong(piece, "MSG405", f"{' → '.join((*within, block.path))} goes round in a circle")
            return []
        return self._file(block, for_html, within)

    def _shared(self, piece: Piece, argument: str) -> SourceText | None:
        literal = _LITERAL.match(argument)
        if literal is None:
            self._wrong(
                piece, "MSG405", "a block is named in quotes, and nothing behind it", '{% include "footer.html" %}'
            )
            return None
        name = re.sub(r"\A(?:\.{0,2}/)*(?:shared/)?", "", literal.group(1))
        for path in (name, f"{name}.mjml", f"{name}.html", f"{name}.txt"):
            if path in self.shared:
                return self.shared[path]
        self._wrong(piece, "MSG405", f'no file "{name}" in shared/', suggestion=did_you_mean(name, self.shared))
        return None

    def _text(self, piece: Piece, key: str, for_html: bool) -> list[Piece]:
        text = self.texts.get(key)
        if text is None:
            self._wrong(piece, "MSG407", f'no text "{key}"', suggestion=did_you_mean(key, self.texts))
            return []
        return self.phrase(text, f"texts.{key}", for_html)

    def phrase(self, text: SourceText, key: str, for_html: bool) -> list[Piece]:
        """The pieces of words from YAML, escaped for HTML where they stand in it."""
        place = self.place_of(text.path, key)
        pieces = cut(text, place)
        for lame in imbalances(pieces):
            self._wrong(lame.piece, "MSG402", f"{key}: {lame.message}")
        return [_escaped(piece, for_html) for piece in pieces]

    def _wrong(self, piece: Piece, code: str, message: str, expected: str = "", suggestion: str = "") -> None:
        self.problems.append(Problem(piece.position(), code, message, expected, suggestion))


def _escaped(piece: Piece, for_html: bool) -> Piece:
    return Piece(escape(piece.text), piece.origin) if for_html and not piece.is_liquid else piece


def _is_footer(piece: Piece) -> bool:
    return piece.is_output and piece.argument == "footer"

"""Liquid hidden behind placeholders while MJML and the CSS inliner work, and put back afterwards.

Liquid first or CSS first both break mail: an HTML parser moves `{% for %}` out of a table and escapes `<` inside tags,
MJML refuses `{% if a < b %}`. A comment stays where it is between rows; in attributes, titles and Outlook's conditional
comments, where a comment would be text, a word stands in.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from carillon.definition.model import SourceText
from carillon.messages.pieces import BLOCKS, Composed, Origin, Piece

_RAW_TEXT = frozenset({"title", "style", "textarea", "script", "mj-title", "mj-preview", "mj-style"})
_OPEN = re.compile(r"<!--|<(/?[A-Za-z][\w:-]*)")
_IN_TAG = re.compile(r"([\w:-]+)\s*=\s*([\"'])|[\"']|>")
_STYLE = re.compile(r"""(?s)(\s)style=("[^"]*"|'[^']*')""")
_HELD_STYLE = "data-liquid-style"


@dataclass(frozen=True, slots=True)
class State:
    """Where in HTML a stretch of text ends: `text`, `tag`, `value` (of an attribute), `comment` or `raw` (a title)."""

    kind: str = "text"
    name: str = ""
    quote: str = ""

    def after(self, text: str) -> State:
        """The state at the end of `text`."""
        state, at = self, 0
        while at < len(text):
            state, at = state._step(text, at)
        return state

    def _step(self, text: str, at: int) -> tuple[State, int]:
        if self.kind == "text":
            found = _OPEN.search(text, at)
            if found is None:
                return self, len(text)
            return (State("comment") if found.group(1) is None else State("tag", found.group(1).lower())), found.end()
        if self.kind == "tag":
            found = _IN_TAG.search(text, at)
            if found is None:
                return self, len(text)
            if found.group() == ">":
                raw = self.name in _RAW_TEXT and not text[: found.start()].endswith("/")
                return State("raw" if raw else "text", self.name), found.end()
            return State("value", self.name, found.group()[-1]), found.end()
        end = {"value": self.quote, "comment": "-->", "raw": f"</{self.name}"}[self.kind]
        at = text.lower().find(end, at) if self.kind == "raw" else text.find(end, at)
        if at < 0:
            return self, len(text)
        return (State("text"), at) if self.kind == "raw" else (self._outside(), at + len(end))

    def _outside(self) -> State:
        return State("tag", self.name) if self.kind == "value" else State("text")


@dataclass(frozen=True, slots=True)
class Hidden:
    """A template whose Liquid is out of sight, and what it takes to put it back."""

    composed: Composed
    pieces: Sequence[Piece]
    salt: str
    misplaced: Sequence[tuple[Piece, str]]
    """Liquid that stands where it cannot work, with the reason."""

    def word(self, number: int) -> str:
        """What stands in for the Liquid piece of that number."""
        return _word(self.salt, number, self.pieces[number])

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches a placeholder in each of its forms; group 'n' is the number."""
        return re.compile(rf'<!--{_numbered(self.salt, "a")}-->|{_numbered(self.salt, "b")}(?:="")?')

    def numbers(self, text: str) -> list[int]:
        """The numbers of the placeholders in `text`, in order."""
        return [_number(found) for found in self.pattern.finditer(text)]

    def reveal(self, text: str) -> list[Piece]:
        """The pieces of `text` with all Liquid back in its place."""
        pieces, at, nowhere = list[Piece](), 0, self._nowhere()
        for found in self.pattern.finditer(text):
            pieces.append(Piece(_no_liquid(text[at : found.start()]), nowhere))
            pieces.append(self.pieces[_number(found)])
            at = found.end()
        pieces.append(Piece(_no_liquid(text[at:]), nowhere))
        return [piece for piece in pieces if piece.text]

    def _nowhere(self) -> Origin:
        written = next((piece.origin for piece in (*self.composed.pieces, *self.pieces)), Origin(SourceText("", "")))
        return Origin(written.source, 0, written.fixed)


def _word(salt: str, number: int, piece: Piece) -> str:
    return f"lq{salt}{number}{'o' if piece.is_output else 'c'}z"


def _numbered(salt: str, name: str) -> str:
    return rf"lq{salt}(?P<{name}>\d+)[oc]z"


def _number(found: re.Match[str]) -> int:
    return int(found["a"] or found["b"])


def _no_liquid(text: str) -> str:
    """Plain text in which `{{` means two braces: entities in HTML may have hidden them."""
    return re.sub(r"\{[{%]", lambda found: "{% raw %}" + found.group() + "{% endraw %}", text)


def hide_in_text(composed: Composed, salt: str) -> Hidden:
    """Hidden by words: for plain parts and SMS."""
    liquid = [piece for piece in composed.pieces if piece.is_liquid]
    numbers = iter(range(len(liquid)))
    shown = [_shown(p, _word(salt, next(numbers), p)) if p.is_liquid else p for p in composed.pieces]
    return Hidden(Composed(shown), liquid, salt, ())


def hide_in_html(composed: Composed, salt: str, *, is_mjml: bool) -> Hidden:
    """Hidden for MJML, the HTML parser and the CSS inliner."""
    state, shown, liquid = State(), list[Piece](), list[Piece]()
    misplaced = list[tuple[Piece, str]]()
    rest = deque(composed.pieces)
    while rest:
        piece = rest.popleft()
        if not piece.is_liquid:
            state = state.after(piece.text)
            shown.append(piece)
            continue
        if state.kind == "tag" and piece.tag in BLOCKS:
            piece = _with_its_end(piece, rest)
        if reason := _misplaced(state, piece, is_mjml):
            misplaced.append((piece, reason))
        word = _word(salt, len(liquid), piece)
        liquid.append(piece)
        # A blank before a bare attribute keeps it apart from its neighbours.
        form = {"text": f"<!--{word}-->", "tag": f" {word} "}.get(state.kind, word)
        shown.append(_shown(piece, form))
    return Hidden(Composed(shown), liquid, salt, misplaced)


def _with_its_end(opening: Piece, rest: deque[Piece]) -> Piece:
    """A condition round attributes, hidden as one: an HTML parser reorders the attributes of a tag."""
    text, depth = opening.text, 1
    while rest and depth:
        piece = rest.popleft()
        depth += (piece.tag in BLOCKS) - (piece.tag.startswith("end") and piece.tag[3:] in BLOCKS)
        text += piece.text
    return Piece(text, opening.origin, is_liquid=True)


def _shown(piece: Piece, text: str) -> Piece:
    return Piece(text, piece.origin, is_liquid=True)


def _misplaced(state: State, piece: Piece, is_mjml: bool) -> str:
    if state.kind == "raw" and state.name in ("style", "mj-style") and not piece.is_output:
        return "a Liquid tag inside a style sheet cannot be inlined: put it into a style attribute"
    if state.kind == "tag" and is_mjml and state.name.startswith("mj"):
        return "Liquid between the attributes of an MJML tag: put it inside an attribute's value"
    return ""


def hold_styles(html: str, salt: str) -> str:
    """Style attributes with Liquid tags in them, put aside: the CSS parser would stop at them."""

    def held(found: re.Match[str]) -> str:
        has_tag = re.search(rf"lq{salt}\d+cz", found.group(2))
        return f"{found.group(1)}{_HELD_STYLE}={found.group(2)}" if has_tag else found.group()

    return _STYLE.sub(held, html)


_HOLDER = re.compile(rf'(?s)<[A-Za-z](?:[^<>"]|"[^"]*")*\s{_HELD_STYLE}="[^"]*"(?:[^<>"]|"[^"]*")*>')


def release_styles(html: str) -> str:
    """Held styles back in their place, behind what the inliner added, so that they win as they would in a browser."""

    def released(found: re.Match[str]) -> str:
        tag = found.group()
        own = re.search(rf'\s{_HELD_STYLE}="([^"]*)"', tag)
        inlined = re.search(r'\sstyle="([^"]*)"', tag)
        assert own is not None
        tag = tag.replace(own.group(), "" if inlined else f' style="{own.group(1)}"')
        if inlined is None:
            return tag
        return tag.replace(inlined.group(), f' style="{inlined.group(1).rstrip("; ")}; {own.group(1)}"')

    return _HOLDER.sub(released, html)

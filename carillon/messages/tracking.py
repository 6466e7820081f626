"""Addresses in a design become slots: the table that the content keeps, and what stands in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape

from carillon.definition.model import SourceText
from carillon.kernel.problems import Position, Problem
from carillon.messages.content import Link, token_tag
from carillon.messages.hiding import Hidden
from carillon.messages.links import ANCHOR, IN_TEXT, UNTRACKED, is_web, with_utm
from carillon.messages.pieces import Origin, Piece


@dataclass(slots=True)
class Tracker:
    """Numbers the links of one content; HTML, plain part and Outlook's copies share their slots."""

    public_url: str
    utm: Mapping[str, str]
    salt: str
    problems: list[Problem]
    links: dict[Link, int]
    """Link → slot, in order of the slots; starts with the links of mails that have left."""
    is_on: bool = True
    """False: every link stays as it is written."""

    def tag(self, letter: str) -> str:
        """The tag that stands for a person's token."""
        return token_tag(self.salt, letter)

    def track_html(self, hidden: Hidden, html: str) -> tuple[str, dict[str, str]]:
        """The HTML with a word of ours for each tracked target, and word → target for the carried ones."""
        carried = dict[str, str]()

        def marked(found: re.Match[str]) -> str:
            target = unescape(found.group(2)[1:-1])
            slot = self._slot(hidden, target)
            if slot is None:
                return found.group()
            n, is_carried = slot
            word = f"lk{self.salt}{n}z"
            if is_carried:
                carried[word] = target
            return f'{found.group(1)}"{word}"'

        return ANCHOR.sub(marked, html), carried

    def _slot(self, hidden: Hidden, target: str) -> tuple[int, bool] | None:
        target = target.strip()
        numbers = hidden.numbers(target)
        if (
            not self.is_on
            or not target
            or target.lower().startswith(UNTRACKED)
            or any("links." in hidden.pieces[n].text for n in numbers)
        ):
            return None
        shown = "".join(piece.text for piece in hidden.reveal(target))
        if numbers:
            if not (is_web(target) or hidden.pattern.match(target)):
                self._wrong(hidden.pieces[numbers[0]].position(), "MSG409", f"{shown} is no full address", "https://…")
            return self._number(Link(shown, carried=True)), True
        if not is_web(target):
            self._wrong(self._written(hidden, target), "MSG409", f'the link "{target}" is no full address', "https://…")
            return None
        return self._number(Link(with_utm(target, self.utm))), False

    def _number(self, link: Link) -> int:
        return self.links.setdefault(link, len(self.links))

    def _written(self, hidden: Hidden, target: str) -> Position:
        return hidden.composed.position(max(0, hidden.composed.text.find(target)), len(target))

    def reveal_links(self, hidden: Hidden, text: str, carried: Mapping[str, str], *, in_html: bool) -> list[Piece]:
        pieces, at = list[Piece](), 0
        for found in re.finditer(rf"lk{self.salt}(\d+)z", text):
            pieces += hidden.reveal(text[at : found.start()])
            pieces += self._tracked(hidden, int(found.group(1)), carried.get(found.group()), in_html)
            at = found.end()
        return [*pieces, *hidden.reveal(text[at:])]

    def _tracked(self, hidden: Hidden, n: int, carried: str | None, in_html: bool) -> list[Piece]:
        origin = Origin(SourceText("", ""))
        if carried is None:
            return [Piece(f"{self.public_url}/c/{self.tag('c')}/{n}", origin)]
        target = hidden.reveal(escape(carried) if in_html else carried)
        return [Piece(f"{{% carried {n} %}}", origin, True), *target, Piece("{% endcarried %}", origin, True)]

    def track_text(self, hidden: Hidden, text: str, letter: str) -> list[Piece]:
        pieces, at = list[Piece](), 0
        for found in IN_TEXT.finditer(text):
            slot = self._text_slot(hidden, found.group(), letter)
            if slot is None:
                continue
            pieces += hidden.reveal(text[at : found.start()])
            n, is_carried = slot
            short = f"{self.public_url}/{letter}/{self.tag(letter)}/{n}"
            origin = Origin(SourceText("", ""))
            pieces += self._tracked(hidden, n, found.group(), in_html=False) if is_carried else [Piece(short, origin)]
            at = found.end()
        return [*pieces, *hidden.reveal(text[at:])]

    def _text_slot(self, hidden: Hidden, target: str, letter: str) -> tuple[int, bool] | None:
        numbers = hidden.numbers(target)
        if numbers and letter == "s":
            self._wrong(
                hidden.pieces[numbers[0]].position(),
                "MSG410",
                "a link with personal parts in an SMS is sent as it is: not shortened, its clicks not counted",
                suggestion="a link that is the same for all",
                warning=True,
            )
            return None
        return self._slot(hidden, target)

    def _wrong(
        self, at: Position, code: str, message: str, expected: str = "", suggestion: str = "", warning: bool = False
    ) -> None:
        self.problems.append(Problem(at, code, message, expected, suggestion, "warning" if warning else "error"))

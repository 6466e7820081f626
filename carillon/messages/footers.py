"""Footers: the words that a country's law asks for, below every mail or SMS, as Liquid on the contact's country.

They take part in composing, so their links are tracked and their letters counted like all others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from carillon.definition.model import SourceText
from carillon.kernel.problems import Position
from carillon.messages.pieces import Piece, cut

WRITTEN_IN = "workspace.yaml"

_BODY_END = re.compile(r"</(mj-)?body>")
_SMALL = "font-size:12px;color:#666666;text-align:center;padding:12px"


def footer_text(by_country: Mapping[str, str]) -> str:
    """What stands for `{{ footer }}`: the country's footer, else the one of '' (all others)."""
    default = by_country.get("", "")
    others = {country: text for country, text in by_country.items() if country}
    if not others:
        return default
    cases = "".join(f'{{% when "{country}" %}}{text}' for country, text in sorted(others.items()))
    return f"{{% case contact.country %}}{cases}{{% else %}}{default}{{% endcase %}}"


def footer_pieces(by_country: Mapping[str, str]) -> list[Piece]:
    """The footer cut into pieces that are found in workspace.yaml."""
    return cut(SourceText(WRITTEN_IN, footer_text(by_country)), Position(WRITTEN_IN))


def with_footer(template: list[Piece], footer: list[Piece], *, for_html: bool) -> list[Piece]:
    """The template with the footer at its end: before `</body>` or `</mj-body>`, else behind everything."""
    if not for_html:
        return [*_without_end(template), Piece("\n", footer[0].origin), *footer]
    last = next((n for n in reversed(range(len(template))) if _BODY_END.search(template[n].text)), None)
    if last is None:
        return [*template, *_framed(footer, is_mjml=False)]
    piece = template[last]
    end = _BODY_END.search(piece.text)
    assert end is not None
    before, after = piece.part(0, end.start()), piece.part(end.start(), len(piece.text))
    return [*template[:last], before, *_framed(footer, is_mjml=bool(end.group(1))), after, *template[last + 1 :]]


def _without_end(template: list[Piece]) -> list[Piece]:
    """A text file ends with a line break; the footer begins a line of its own anyway."""
    if not template or template[-1].is_liquid:
        return template
    return [*template[:-1], Piece(template[-1].text.rstrip("\n"), template[-1].origin)]


def _framed(footer: list[Piece], *, is_mjml: bool) -> list[Piece]:
    """The footer in small grey letters, as a section of the design."""
    origin = footer[0].origin
    opening, closing = f'<div style="{_SMALL}">', "</div>"
    if is_mjml:
        text = '<mj-text font-size="12px" color="#666666" align="center">'
        opening, closing = f"<mj-section><mj-column>{text}", "</mj-text></mj-column></mj-section>"
    return [Piece(opening, origin), *footer, Piece(closing, origin)]

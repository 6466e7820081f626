"""Lints: what makes a mail that is right in itself arrive badly. Warnings, each at its place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from carillon.kernel.problems import Position, Problem
from carillon.messages.pieces import Composed

GMAIL_SHOWS = 102 * 1024
"""Bytes of HTML that Gmail shows before it cuts a mail off and hides the rest, the unsubscribe link with it."""

LONGEST_SUBJECT = 70
"""Characters that a desktop inbox shows; a phone shows about forty."""

_PICTURE = re.compile(r"""(?is)<!--.*?-->|<(img|mj-image)\b((?:[^<>"']|"[^"]*"|'[^']*')*)>""")
_ALT = re.compile(r"(?i)(?<![\w-])alt\s*=")


def lint_subject(subject: Composed) -> Iterator[Problem]:
    """A subject whose own words are longer than an inbox shows; values of contacts are not counted."""
    words = "".join(piece.text for piece in subject.pieces if not piece.is_liquid)
    if len(words) > LONGEST_SUBJECT:
        yield _warning(
            subject.position(0),
            "MSG432",
            f"the subject has {len(words)} characters: an inbox cuts it off",
            f"at most {LONGEST_SUBJECT}, the important words first",
        )


def lint_pictures(design: Composed) -> Iterator[Problem]:
    """Pictures without words for those who do not see them: half of all inboxes block pictures at first."""
    for found in _PICTURE.finditer(design.text):
        tag, attributes = found.groups()
        if tag is not None and not _ALT.search(attributes):
            at = design.position(found.start(), len(tag) + 1)
            yield _warning(at, "MSG433", f"<{tag}> without alt", 'alt="Red shoes", or alt="" for mere decoration')


def lint_size(html: Composed) -> Iterator[Problem]:
    """A mail that is too long for Gmail before the first value stands in it."""
    size = len(html.text.encode())
    if size > GMAIL_SHOWS:
        yield _warning(
            Position(html.pieces[0].origin.source.path),
            "MSG431",
            f"the mail has {size / 1024:.0f} kB: Gmail cuts it off",
            f"at most {GMAIL_SHOWS // 1024} kB of HTML, pictures not counted",
        )


def _warning(at: Position, code: str, message: str, expected: str) -> Problem:
    return Problem(at, code, message, expected, severity="warning")
